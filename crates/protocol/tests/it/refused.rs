//! Frames that must be refused, and why.

use bivouac_protocol::frame::{FrameError, InFrame, OutFrame};

/// A frame that is refused.
pub(crate) struct Refused {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether a guest reads it; else a host does.
    pub(crate) inward: bool,
    pub(crate) frame: Vec<u8>,
    pub(crate) reason: &'static str,
}

/// The name of the error in `refused` of a golden file.
pub(crate) fn reason(error: &FrameError) -> &'static str {
    match error {
        FrameError::Truncated { .. } => "truncated",
        FrameError::Trailing(_) => "trailing",
        FrameError::Header(_) => "header",
        FrameError::NoSuchAttachment(_) => "attachment",
        FrameError::Version(_) => "version",
    }
}

/// A frame of any header and tail.
pub(crate) fn frame(header: &[u8], tail: &[u8]) -> Vec<u8> {
    let length = u32::try_from(header.len()).expect("headers of tests are short");
    [&length.to_le_bytes()[..], header, tail].concat()
}

pub(crate) fn all() -> Vec<Refused> {
    let mut list = Vec::new();
    let mut add = |name, inward, reason, about, frame| list.push(Refused { name, about, inward, frame, reason });
    let raw = |header: &str| frame(header.as_bytes(), b"");

    add("empty", true, "truncated", "No bytes at all: not even the header's length.", Vec::new());
    add("short_length", true, "truncated", "Three bytes of a length that has four.", vec![2, 0, 0]);
    add("lying_length", true, "truncated", "The length promises more header than there is.", {
        let mut bytes = raw(r#"{"v":1,"turn":1,"now_ms":0}"#);
        bytes[0] = 0xff;
        bytes
    });
    add("giant_length", false, "truncated", "The length promises four gigabytes.", vec![0xff, 0xff, 0xff, 0xff, b'{']);
    add(
        "missing_attachment",
        true,
        "truncated",
        "The header lists two attachments and the frame ends within the second.",
        frame(br#"{"v":1,"turn":1,"now_ms":0,"att":[2,3]}"#, b"abcd"),
    );
    add(
        "giant_attachment",
        false,
        "truncated",
        "The header lists an attachment of four gigabytes.",
        raw(r#"{"v":1,"status":"running","att":[4294967295]}"#),
    );
    add(
        "bytes_after_the_end",
        true,
        "trailing",
        "Bytes follow the header, which lists no attachment.",
        frame(br#"{"v":1,"turn":1,"now_ms":0}"#, b"x"),
    );
    add(
        "bytes_after_the_last_attachment",
        false,
        "trailing",
        "Bytes follow the last attachment.",
        frame(br#"{"v":1,"status":"running","att":[1]}"#, b"ab"),
    );
    add("not_json", false, "header", "The header is not JSON.", raw("status: running"));
    add("not_utf8", false, "header", "The header is not UTF-8.", frame(b"{\"v\":1,\"status\":\"\xff\"}", b""));
    add("not_an_object", true, "header", "The header is a JSON array.", raw("[1,1,0,null]"));
    add("empty_header", true, "header", "The header has no bytes.", raw(""));
    add(
        "two_values",
        true,
        "header",
        "Something follows the header's object.",
        raw(r#"{"v":1,"turn":1,"now_ms":0}{}"#),
    );
    add("no_version", true, "header", "The header does not say its revision.", raw(r#"{"turn":1,"now_ms":0}"#));
    add("no_turn", true, "header", "The header does not say which turn it is.", raw(r#"{"v":1,"now_ms":0}"#));
    add("negative_turn", true, "header", "A turn below zero.", raw(r#"{"v":1,"turn":-1,"now_ms":0}"#));
    add(
        "fraction_of_a_millisecond",
        true,
        "header",
        "Times are whole numbers.",
        raw(r#"{"v":1,"turn":1,"now_ms":0.5}"#),
    );
    add(
        "twice_the_same_field",
        true,
        "header",
        "A field that is there twice.",
        raw(r#"{"v":1,"turn":1,"turn":2,"now_ms":0}"#),
    );
    add("no_status", false, "header", "The header does not say whether the guest goes on.", raw(r#"{"v":1}"#));
    add("unknown_status", false, "header", "A status that is none.", raw(r#"{"v":1,"status":"sleeping"}"#));
    add(
        "unknown_cancel",
        true,
        "header",
        "A way to cancel that is none.",
        raw(r#"{"v":1,"turn":1,"now_ms":0,"cancel":"soon"}"#),
    );
    add(
        "unknown_note",
        false,
        "header",
        "A note that is none.",
        raw(r#"{"v":1,"status":"running","notes":[{"note":"wink"}]}"#),
    );
    add(
        "note_without_message",
        false,
        "header",
        "A log line without a line.",
        raw(r#"{"v":1,"status":"running","notes":[{"note":"log"}]}"#),
    );
    add(
        "emit_without_name",
        false,
        "header",
        "An event without a name.",
        raw(r#"{"v":1,"status":"running","notes":[{"note":"emit","data":1}]}"#),
    );
    add("other_revision_in", true, "version", "An in-frame of revision 2.", raw(r#"{"v":2,"turn":1,"now_ms":0}"#));
    add("other_revision_out", false, "version", "An out-frame of revision 0.", raw(r#"{"v":0,"status":"running"}"#));
    add(
        "outcome_of_nothing",
        true,
        "header",
        "An outcome that is neither a value nor an error.",
        raw(r#"{"v":1,"turn":2,"now_ms":0,"deliver":[["1",{}]]}"#),
    );
    add(
        "outcome_of_both",
        true,
        "header",
        "An outcome that is a value and an error.",
        raw(r#"{"v":1,"turn":2,"now_ms":0,"deliver":[["1",{"ok":1,"err":{"code":"A","message":"b"}}]]}"#),
    );
    add(
        "outcome_without_path",
        true,
        "header",
        "A delivery that does not say to whom.",
        raw(r#"{"v":1,"turn":2,"now_ms":0,"deliver":[[{"ok":1}]]}"#),
    );
    add(
        "step_of_nothing",
        false,
        "header",
        "A step that ended with neither a value nor an error.",
        raw(r#"{"v":1,"status":"running","steps":[["charge",{}]]}"#),
    );
    add(
        "effect_without_key",
        false,
        "header",
        "An effect that is a pair instead of a triple.",
        raw(r#"{"v":1,"status":"running","effects":[["1",{"op":"sleep","ms":1}]]}"#),
    );
    add(
        "effect_without_op",
        false,
        "header",
        "An effect that does not say what it is.",
        raw(r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"ms":1}]]}"#),
    );
    add(
        "http_without_url",
        false,
        "header",
        "An http request without a URL.",
        raw(r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"http","method":"GET"}]]}"#),
    );
    add(
        "sleep_without_duration",
        false,
        "header",
        "A sleep that does not say how long.",
        raw(r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"sleep"}]]}"#),
    );
    add(
        "save_without_value",
        false,
        "header",
        "A memory.save without a value; null would be one.",
        raw(r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"memory.save","name":"n"}]]}"#),
    );
    add(
        "ask_without_text",
        false,
        "header",
        "A question that asks nothing.",
        raw(r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"ask","input_type":"text"}]]}"#),
    );
    add(
        "ask_for_an_unknown_kind_of_answer",
        false,
        "header",
        "A kind of answer that is none.",
        raw(r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"ask","text":"?","input_type":"mood"}]]}"#),
    );
    add(
        "option_without_label",
        false,
        "header",
        "An option that a person cannot read.",
        raw(
            r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"ask","text":"?","input_type":"select","options":[{"id":"a"}]}]]}"#,
        ),
    );
    add(
        "progress_without_content",
        false,
        "header",
        "Progress that says nothing.",
        raw(r#"{"v":1,"status":"running","notes":[{"note":"progress"}]}"#),
    );
    add(
        "artifact_without_content",
        false,
        "header",
        "An artifact that is none.",
        raw(r#"{"v":1,"status":"running","notes":[{"note":"artifact","append":true}]}"#),
    );
    add(
        "memo_answer_without_outcome",
        true,
        "header",
        "An answer of an earlier attempt without what was answered.",
        raw(
            r#"{"v":1,"turn":1,"now_ms":0,"start":{"run_id":"run_00000000000000000000000000","generation":0,"component":{"type":"function","name":"f"},"attempt":2,"input":null,"auth":{"app":"","user":""},"memo":{"answers":[["0/a#1"]]}}}"#,
        ),
    );
    add(
        "body_of_two_kinds",
        false,
        "header",
        "A body that is text and JSON.",
        raw(
            r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"http","method":"PUT","url":"http://a/","body":{"text":"","json":1}}]]}"#,
        ),
    );
    add(
        "body_of_no_kind",
        false,
        "header",
        "A body that is nothing; a request without a body leaves it out.",
        raw(
            r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"http","method":"PUT","url":"http://a/","body":{}}]]}"#,
        ),
    );
    add(
        "body_from_nowhere",
        false,
        "attachment",
        "A body that names an attachment which the frame does not carry.",
        frame(
            br#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"http","method":"PUT","url":"http://a/","body":{"$att":1}}]],"att":[2]}"#,
            b"ab",
        ),
    );
    add(
        "run_id_too_large",
        true,
        "header",
        "A run id whose first letter would overflow 128 bits.",
        raw(
            r#"{"v":1,"turn":1,"now_ms":0,"start":{"run_id":"run_80000000000000000000000000","generation":0,"component":{"type":"function","name":"f"},"attempt":1,"input":null,"auth":{"app":"","user":""}}}"#,
        ),
    );
    add(
        "start_without_input",
        true,
        "header",
        "A start without an input; null would be one.",
        raw(
            r#"{"v":1,"turn":1,"now_ms":0,"start":{"run_id":"run_00000000000000000000000000","generation":0,"component":{"type":"function","name":"f"},"attempt":1,"auth":{"app":"","user":""}}}"#,
        ),
    );
    list
}

#[test]
fn each_refused_frame_is_refused_for_its_reason() {
    for case in all() {
        let error = if case.inward {
            InFrame::decode(&case.frame).expect_err(case.name)
        } else {
            OutFrame::decode(&case.frame).expect_err(case.name)
        };
        assert_eq!(reason(&error), case.reason, "{}: {error}", case.name);
    }
}

#[test]
fn every_reason_to_refuse_a_frame_has_an_example() {
    let cases = all();
    for reason in ["truncated", "trailing", "header", "attachment", "version"] {
        assert!(cases.iter().any(|case| case.reason == reason), "{reason}");
    }
}
