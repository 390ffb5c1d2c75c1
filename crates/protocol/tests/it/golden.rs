//! Holds the values of `cases` against the files of `conformance/frames/`.
//!
//! `UPDATE_GOLDEN=1` writes the files anew: read every line of the difference, because old guests still speak as the
//! old files say.

use crate::{
    cases::{self, Meaning},
    refused,
    schema::{Schemas, frames_dir},
    text::{minify, pretty},
};
use bivouac_protocol::{
    frame::{HttpResponse, InFrame, OutFrame, Outcome, op_names, split},
    manifest::Manifest,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

/// A file of golden/, accepted/ or refused/.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: String,
    direction: String,
    #[serde(default)]
    answers: BTreeMap<String, String>,
    header: Option<Box<RawValue>>,
    #[serde(default)]
    attachments: Vec<String>,
    frame: String,
    refused: Option<String>,
}

fn read(path: &Path) -> File {
    let text = fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes the file of a frame where asked to. A header is shown only where it can be laid out without changing it.
fn write(path: &Path, about: &str, inward: bool, answers: &[(&str, &str)], frame: &[u8], refused: Option<&str>) {
    if env::var_os("UPDATE_GOLDEN").is_none() {
        return;
    }
    let quote = |text: &str| serde_json::to_string(text).expect("text");
    let mut fields = vec![
        format!("\"about\": {}", quote(about)),
        format!("\"direction\": {}", quote(if inward { "in" } else { "out" })),
    ];
    if !answers.is_empty() {
        let answers: BTreeMap<_, _> = answers.iter().copied().collect();
        fields.push(format!("\"answers\": {}", serde_json::to_string(&answers).expect("texts")));
    }
    match (refused, split(frame)) {
        (None, Ok((header, attachments))) => {
            let header = pretty(std::str::from_utf8(header).expect("headers are UTF-8"));
            fields.push(format!("\"header\": {}", header.replace('\n', "\n  ")));
            if !attachments.is_empty() {
                let attachments: Vec<_> = attachments.iter().map(|bytes| quote(&hex::encode(bytes))).collect();
                fields.push(format!("\"attachments\": [{}]", attachments.join(", ")));
            }
        }
        (None, Err(error)) => panic!("{}: {error}", path.display()),
        (Some(refused), _) => fields.push(format!("\"refused\": {}", quote(refused))),
    }
    fields.push(format!("\"frame\": {}", quote(&hex::encode(frame))));
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder of golden files");
    fs::write(path, format!("{{\n  {}\n}}\n", fields.join(",\n  "))).expect("a golden file");
}

/// Checks that the file's header and attachments are the frame's, by form and by schema; gives the frame.
fn check_form(path: &Path, file: &File, schemas: &Schemas) -> Vec<u8> {
    let what = path.display().to_string();
    let whole: Value = serde_json::from_str(&fs::read_to_string(path).expect("read before")).expect("parsed before");
    schemas.check("golden", &whole, &what);
    let frame = hex::decode(&file.frame).expect("hex");
    let (header, attachments) = split(&frame).unwrap_or_else(|error| panic!("{what}: {error}"));
    let shown = file.header.as_ref().unwrap_or_else(|| panic!("{what} shows its header")).get();
    assert_eq!(minify(shown), minify(std::str::from_utf8(header).expect("UTF-8")), "{what}: header");
    let attachments: Vec<_> = attachments.iter().map(hex::encode).collect();
    assert_eq!(file.attachments, attachments, "{what}: attachments");

    let header: Value = serde_json::from_slice(header).expect("JSON");
    schemas.check(&format!("{}-frame", file.direction), &header, &what);
    for delivery in header["deliver"].as_array().into_iter().flatten() {
        let answered = file.answers.get(delivery[0].as_str().expect("a path"));
        if let (Some(op), Some(value)) = (answered, delivery[1].get("ok")) {
            schemas.check(&format!("outcome/{op}"), value, &what);
        }
    }
    frame
}

/// Reads replies as replies: which outcome is one, the guest knows and the frame does not say.
pub(crate) fn with_replies(mut frame: InFrame, is_http: impl Fn(&str) -> bool) -> InFrame {
    let attachments = std::mem::take(&mut frame.attachments);
    for (path, outcome) in &mut frame.deliver {
        if let Outcome::Ok(json) = outcome
            && is_http(path.as_str())
        {
            *outcome = Outcome::Http(HttpResponse::from_json(json, &attachments).expect("a reply"));
        }
    }
    frame
}

/// Every file of a folder must stand for a case.
fn assert_no_others(folder: &Path, names: &BTreeSet<&str>) {
    for entry in fs::read_dir(folder).expect("the folder of golden files") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(names.contains(name.as_str()), "{} stands for no case", path.display());
    }
}

#[test]
fn every_golden_in_frame_is_read_and_written_as_it_stands() {
    let (schemas, folder) = (Schemas::load(), frames_dir().join("golden/in"));
    let cases = cases::inward();
    for case in &cases {
        let path = folder.join(format!("{}.json", case.name));
        let encoded = case.frame.encode();
        write(&path, case.about, true, &case.answers, &encoded, None);
        let file = read(&path);
        assert_eq!((file.direction.as_str(), &file.refused), ("in", &None), "{}", case.name);
        let frame = check_form(&path, &file, &schemas);
        assert_eq!(Bytes::from(frame.clone()), encoded, "{}: written", case.name);
        let is_http = |path: &str| file.answers.get(path).is_some_and(|op| op == op_names::HTTP);
        let decoded = with_replies(InFrame::decode(&frame).expect(case.name), is_http);
        assert_eq!(decoded, case.frame, "{}: read", case.name);
        assert_eq!(decoded.encode(), encoded, "{}: read and written again", case.name);
    }
    assert_no_others(&folder, &cases.iter().map(|case| case.name).collect());
}

#[test]
fn every_golden_out_frame_is_read_and_written_as_it_stands() {
    let (schemas, folder) = (Schemas::load(), frames_dir().join("golden/out"));
    let cases = cases::outward();
    for case in &cases {
        let path = folder.join(format!("{}.json", case.name));
        let encoded = case.frame.encode();
        write(&path, case.about, false, &[], &encoded, None);
        let file = read(&path);
        assert_eq!((file.direction.as_str(), &file.refused), ("out", &None), "{}", case.name);
        let frame = check_form(&path, &file, &schemas);
        assert_eq!(Bytes::from(frame.clone()), encoded, "{}: written", case.name);
        let decoded = OutFrame::decode(&frame).expect(case.name);
        assert_eq!(decoded, case.frame, "{}: read", case.name);
        assert_eq!(decoded.encode(), encoded, "{}: read and written again", case.name);
    }
    assert_no_others(&folder, &cases.iter().map(|case| case.name).collect());
}

#[test]
fn every_accepted_frame_means_what_it_should() {
    let (schemas, folder) = (Schemas::load(), frames_dir().join("accepted"));
    let cases = cases::accepted();
    for (name, about, header, meaning) in &cases {
        let path = folder.join(format!("{name}.json"));
        let inward = matches!(meaning, Meaning::In(_));
        write(&path, about, inward, &[], &refused::frame(header.as_bytes(), b""), None);
        let frame = check_form(&path, &read(&path), &schemas);
        match meaning {
            Meaning::In(expected) => assert_eq!(InFrame::decode(&frame).as_ref(), Ok(&**expected), "{name}"),
            Meaning::Out(expected) => assert_eq!(OutFrame::decode(&frame).as_ref(), Ok(expected), "{name}"),
        }
    }
    assert_no_others(&folder, &cases.iter().map(|case| case.0).collect());
}

#[test]
fn every_refused_file_is_refused_and_by_the_schema_too_where_it_can_tell() {
    let (schemas, folder) = (Schemas::load(), frames_dir().join("refused"));
    let cases = refused::all();
    for case in &cases {
        let path = folder.join(format!("{}.json", case.name));
        write(&path, case.about, case.inward, &[], &case.frame, Some(case.reason));
        let file = read(&path);
        assert_eq!(file.refused.as_deref(), Some(case.reason), "{}", case.name);
        let frame = hex::decode(&file.frame).expect("hex");
        assert_eq!(frame, case.frame, "{}", case.name);
        let error = match file.direction.as_str() {
            "in" => InFrame::decode(&frame).expect_err(case.name),
            _ => OutFrame::decode(&frame).expect_err(case.name),
        };
        assert_eq!(refused::reason(&error), case.reason, "{}", case.name);

        // A header that is JSON and still refused must be refused by the schema, but for what JSON parsers hide.
        let parsed = split(&frame).ok().and_then(|(header, _)| serde_json::from_slice::<Value>(header).ok());
        if let Some(header) = parsed
            && matches!(case.reason, "header" | "version")
            && case.name != "twice_the_same_field"
        {
            let schema = format!("{}-frame", file.direction);
            assert!(!schemas.accepts(&schema, &header), "{}: the schema accepts it", case.name);
        }
    }
    assert_no_others(&folder, &cases.iter().map(|case| case.name).collect());
}

#[test]
fn every_golden_manifest_is_read_and_written_as_it_stands() {
    let (schemas, folder) = (Schemas::load(), frames_dir().join("golden/manifest"));
    let cases = cases::manifests();
    for case in &cases {
        let path = folder.join(format!("{}.json", case.name));
        let encoded = serde_json::to_string(&case.manifest).expect("a manifest");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).expect("the folder of manifests");
            fs::write(&path, pretty(&encoded) + "\n").expect("a manifest");
        }
        let text = minify(&fs::read_to_string(&path).expect("a manifest; UPDATE_GOLDEN=1 writes it"));
        schemas.check("manifest", &serde_json::from_str(&text).expect("JSON"), case.name);
        assert_eq!(text, encoded, "{}: written", case.name);
        assert_eq!(serde_json::from_str::<Manifest>(&text).expect(case.name), case.manifest, "{}: read", case.name);
    }
    assert_no_others(&folder, &cases.iter().map(|case| case.name).collect());
}

#[test]
fn every_op_has_a_schema_a_golden_request_and_a_golden_outcome() {
    let schemas: BTreeSet<String> = crate::schema::all().into_iter().map(|(name, _)| name).collect();
    let (inward, outward) = (cases::inward(), cases::outward());
    for op in op_names::ALL {
        assert!(schemas.contains(&format!("op/{op}")), "no schema of the op {op}");
        assert!(schemas.contains(&format!("outcome/{op}")), "no schema of the outcome of {op}");
        let asked = outward.iter().flat_map(|case| &case.frame.effects).any(|effect| effect.op.name() == *op);
        assert!(asked, "no golden frame asks for {op}");
        let answered = inward.iter().any(|case| {
            let mut values = case.frame.deliver.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Err(_)));
            values.any(|(path, _)| case.answers.contains(&(path.as_str(), op)))
        });
        assert!(answered, "no golden frame answers {op}");
    }
    let known = schemas.iter().filter_map(|name| name.strip_prefix("op/")).count();
    assert_eq!(known, op_names::ALL.len(), "a schema of an op that is not in op_names::ALL");
}

#[test]
fn every_status_and_every_kind_of_outcome_has_a_golden_frame() {
    let schema = crate::schema::all().into_iter().find(|(name, _)| name == "out-frame").expect("the schema").1;
    let statuses: BTreeSet<String> =
        serde_json::from_value(schema["properties"]["status"]["enum"].clone()).expect("an enum of texts");
    let shown: BTreeSet<String> = cases::outward()
        .iter()
        .map(|case| serde_json::to_value(case.frame.status).expect("a text").as_str().expect("a text").to_owned())
        .collect();
    assert_eq!(statuses, shown);

    let frames = cases::inward();
    let outcomes = || frames.iter().flat_map(|case| &case.frame.deliver).map(|(_, outcome)| outcome);
    assert!(outcomes().any(|outcome| matches!(outcome, Outcome::Ok(_))));
    assert!(outcomes().any(|outcome| matches!(outcome, Outcome::Http(_))));
    assert!(outcomes().any(|outcome| matches!(outcome, Outcome::Err(error) if error.retryable)));
    assert!(outcomes().any(|outcome| matches!(outcome, Outcome::Err(error) if !error.retryable)));
}
