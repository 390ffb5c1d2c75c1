//! What an answer of the server, or its absence, means to a script: the exit code, and the words.

use crate::{
    bin::{bivouac, end, end_with_stdin},
    fake::Fake,
};
use std::net::TcpListener;

#[test]
fn every_refusal_has_its_exit_code() {
    for (status, code) in
        [(400, 2), (401, 4), (403, 4), (404, 3), (409, 4), (413, 4), (422, 4), (429, 4), (500, 1), (503, 5), (507, 1)]
    {
        let server = Fake::always(status, r#"{"error":"because of it","error_code":"SOME_CODE"}"#);
        let folder = tempfile::tempdir().unwrap();
        let said = end(bivouac(folder.path()).args(["runs", "ls", "--server", &server.url])).failed(code);
        assert!(said.contains("error: the runs are not shown"), "{said}");
        assert!(said.contains("why: because of it (SOME_CODE)"), "{said}");
    }
}

#[test]
fn an_error_is_json_on_stderr_where_json_was_asked_for() {
    let server = Fake::always(404, r#"{"error":"there is no such run","error_code":"NOT_FOUND"}"#);
    let folder = tempfile::tempdir().unwrap();
    let ended = end(bivouac(folder.path()).args(["runs", "show", "run_1", "-o", "json", "--server", &server.url]));
    let error: serde_json::Value = serde_json::from_str(&ended.failed(3)).unwrap();
    assert_eq!((&error["error_code"], &error["exit"]), (&"NOT_FOUND".into(), &3.into()));
}

#[test]
fn a_server_that_is_not_there_says_how_to_start_one() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for command in [&["runs", "ls"][..], &["run", "function/x"], &["keys", "ls"], &["secrets", "ls"]] {
        let said = end(bivouac(folder.path()).args(command).env("BIVOUAC_SERVER", free.to_string())).failed(5);
        assert!(said.contains("(BIVOUAC_SERVER) cannot be reached"), "{said}");
        assert!(said.contains("bivouac serve"), "{said}");
    }
}

#[test]
fn another_kind_of_server_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    for (status, body, code) in [(200, "<html>hello</html>", 5), (404, "<html>nothing here</html>", 3)] {
        let server = Fake::always(status, body);
        let said = end(bivouac(folder.path()).args(["keys", "ls", "-o", "text", "--server", &server.url])).failed(code);
        assert!(said.contains("does not seem to be a Bivouac server"), "{said}");
    }
}

#[test]
fn the_key_comes_from_the_flag_else_the_variable_else_the_file() {
    let server = Fake::always(200, r#"{"runs":[],"next":null}"#);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bivouac.toml"), format!("server = \"{}\"\nkey = \"from-file\"", server.url))
        .unwrap();
    end(bivouac(folder.path()).args(["runs", "ls"])).ok();
    end(bivouac(folder.path()).args(["runs", "ls"]).env("AGNT5_API_KEY", "from-alias")).ok();
    end(bivouac(folder.path()).args(["runs", "ls"]).env("AGNT5_API_KEY", "x").env("BIVOUAC_KEY", "from-variable")).ok();
    end(bivouac(folder.path()).args(["runs", "ls", "--key", "from-flag"]).env("BIVOUAC_KEY", "x")).ok();
    let keys: Vec<_> = server.requests().into_iter().map(|request| request.headers["x-api-key"].clone()).collect();
    assert_eq!(keys, ["from-file", "from-alias", "from-variable", "from-flag"]);
}

#[test]
fn a_server_named_nowhere_is_told_apart_from_one_that_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = end(bivouac(folder.path()).args(["runs", "ls", "--server", "ftp://x"])).failed(2);
    assert!(said.contains("`ftp://x` (--server) cannot be used"), "{said}");
    let said = end(bivouac(folder.path()).args(["runs", "ls", "--key", "two\nlines"])).failed(2);
    assert!(said.contains("the key (--key) cannot be sent"), "{said}");
}

#[test]
fn names_in_a_path_cannot_leave_it() {
    let server = Fake::always(404, r#"{"error":"no","error_code":"NOT_FOUND"}"#);
    let folder = tempfile::tempdir().unwrap();
    end(bivouac(folder.path()).args(["runs", "show", "../../api/keys?x", "--server", &server.url])).failed(3);
    assert_eq!(server.requests()[0].line, "GET /v1/runs/..%2F..%2Fapi%2Fkeys%3Fx HTTP/1.1");
}

#[test]
fn lists_are_read_page_by_page_up_to_the_limit() {
    let server = Fake::new(|number, _| {
        let page = format!(r#"{{"runs":[{{"run_id":"run_{number}"}}],"next":"run_{number}"}}"#);
        crate::fake::json(200, &page)
    });
    let folder = tempfile::tempdir().unwrap();
    let list = end(bivouac(folder.path()).args(["runs", "ls", "-n", "3", "--server", &server.url])).json();
    assert_eq!((&list["count"], &list["next"]), (&3.into(), &"run_2".into()));
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/runs?limit=3 HTTP/1.1",
            "GET /v1/runs?limit=2&after=run_0 HTTP/1.1",
            "GET /v1/runs?limit=1&after=run_1 HTTP/1.1"
        ]
    );
}

#[test]
fn a_secret_goes_from_stdin_into_the_body_and_nowhere_else() {
    let server = Fake::always(200, r#"{"name":"TOKEN","hosts":["h"],"environment":"default"}"#);
    let folder = tempfile::tempdir().unwrap();
    let set = ["secrets", "set", "TOKEN", "--host", "h", "-o", "text", "--server", &server.url];
    let shown = end_with_stdin(bivouac(folder.path()).args(set), "hidden value\n");
    assert!(!format!("{}{}", shown.stdout, shown.stderr).contains("hidden"));
    shown.ok();
    end(bivouac(folder.path()).args(set).args(["--from-env", "V"]).env("V", "other")).ok();
    let bodies: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [r#"{"hosts":["h"],"value":"hidden value"}"#, r#"{"hosts":["h"],"value":"other"}"#]);
    let said = end(bivouac(folder.path()).args(["secrets", "set", "TOKEN=value", "--host", "h"])).failed(2);
    assert!(said.contains("shell's history"), "{said}");
}

#[test]
fn a_key_that_is_pasted_whole_is_revoked_by_its_public_part() {
    let server = Fake::always(200, r#"{"id":"bvk_abc"}"#);
    let folder = tempfile::tempdir().unwrap();
    end(bivouac(folder.path()).args(["keys", "revoke", "bvk_abc_secretpart", "--server", &server.url])).ok();
    assert_eq!(server.requests()[0].line, "DELETE /api/keys/bvk_abc HTTP/1.1");
}

#[test]
fn an_answer_is_json_where_it_is_json_and_a_text_where_not() {
    let server = Fake::always(200, r#"{"run_id":"run_1","status":"running"}"#);
    let folder = tempfile::tempdir().unwrap();
    let answer = ["runs", "answer", "run_1", "-o", "text", "--answer-id", "a1", "--server", &server.url];
    let give = |more: &[&str]| end(bivouac(folder.path()).args(answer).args(more)).ok();
    assert!(give(&["the lake"]).contains("goes on"));
    give(&["{\"n\": 9007199254740993}", "--question", "camp"]);
    give(&["-7"]);
    give(&["true", "--text"]);
    end_with_stdin(bivouac(folder.path()).args(answer).arg("-"), "from \"stdin\"\n").ok();
    let (lines, bodies): (Vec<_>, Vec<_>) =
        server.requests().into_iter().map(|request| (request.line, request.body)).unzip();
    assert!(lines.iter().all(|line| line == "POST /v1/runs/run_1/answer HTTP/1.1"), "{lines:?}");
    let expected = [
        r#"{"answer":"the lake","id":"a1"}"#,
        r#"{"answer":{"n": 9007199254740993},"id":"a1","question":"camp"}"#,
        r#"{"answer":-7,"id":"a1"}"#,
        r#"{"answer":"true","id":"a1"}"#,
        r#"{"answer":"from \"stdin\"","id":"a1"}"#,
    ];
    assert_eq!(bodies, expected);
}

#[test]
fn an_answer_that_may_have_arrived_is_sent_again_under_its_id() {
    let server = Fake::new(|number, _| match number {
        0 => String::new(),
        _ => crate::fake::json(200, r#"{"run_id":"run_1","status":"running"}"#),
    });
    let folder = tempfile::tempdir().unwrap();
    end(bivouac(folder.path()).args(["runs", "answer", "run_1", "yes", "--server", &server.url])).ok();
    let bodies: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[0] == bodies[1] && bodies[0].contains("\"id\":\""), "{bodies:?}");
}

#[test]
fn a_run_shows_what_it_asks() {
    let server = Fake::always(
        200,
        r#"{"run_id":"run_1","status":"paused","waits_for":"question","questions":[{"key":"0/x#1","name":"camp","question":{"text":"Which camp?","options":[{"id":"lake","label":"At the lake"}]}}]}"#,
    );
    let folder = tempfile::tempdir().unwrap();
    let shown = end(bivouac(folder.path()).args(["runs", "show", "run_1", "-o", "text", "--server", &server.url])).ok();
    assert!(shown.contains("camp: Which camp? [lake]") && shown.contains("paused (question)"), "{shown}");
}
