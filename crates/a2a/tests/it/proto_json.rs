//! Whatever ProtoJSON lets a peer write is read, and means the same as the canonical form.
//!
//! The generator makes a value, and writes it in two ways: as the protocol does, and as freely as ProtoJSON allows, with
//! nulls for what is unset, enums as numbers, names in snake case, bytes in any base64, numbers as text, moments with
//! offsets, and members that nobody knows. Both must be read as the same value, which must survive being written.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use bivouac_a2a::{
    Timestamp,
    types::{AgentCard, ListTasksRequest, ListTasksResponse, SendMessageRequest, StreamResponse, Task},
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::fmt::Debug;

/// How freely one field is written.
#[derive(Clone, Copy, Debug)]
struct Freedom(u64);

impl Freedom {
    /// The next choice below a limit.
    fn pick(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What kind of field a name is, so that it is varied within what its kind allows.
const ENUMS: &[(&str, &[&str])] =
    &[("role", &["ROLE_UNSPECIFIED", "ROLE_USER", "ROLE_AGENT"]), ("state", STATES), ("status", STATES)];
const STATES: &[&str] = &[
    "TASK_STATE_UNSPECIFIED",
    "TASK_STATE_SUBMITTED",
    "TASK_STATE_WORKING",
    "TASK_STATE_COMPLETED",
    "TASK_STATE_FAILED",
    "TASK_STATE_CANCELED",
    "TASK_STATE_INPUT_REQUIRED",
    "TASK_STATE_REJECTED",
    "TASK_STATE_AUTH_REQUIRED",
];
/// Members whose values are carried as they are.
const RAW: &[&str] = &["data", "metadata", "params", "header", "httpAuthSecurityScheme", "apiKeySecurityScheme"];
/// Members that hold names of the author's own.
const MAPS: &[&str] = &["securitySchemes", "schemes"];
const INTEGERS: &[&str] = &["historyLength", "pageSize", "totalSize"];
/// Members that may be unset: absent, or null.
const OPTIONAL: &[&str] = &[
    "contextId",
    "taskId",
    "metadata",
    "extensions",
    "referenceTaskIds",
    "filename",
    "mediaType",
    "artifacts",
    "history",
    "tenant",
    "configuration",
    "name",
    "description",
    "append",
    "lastChunk",
    "pageToken",
    "text",
    "raw",
    "url",
    "timestamp",
    "message",
    "documentationUrl",
];

fn free(value: &Value, freedom: &mut Freedom) -> Value {
    match value {
        Value::Object(members) => {
            let mut written = Map::new();
            for (name, value) in members {
                let value = field(name, value, freedom);
                let name = if freedom.pick(3) == 0 { snake(name) } else { name.clone() };
                written.insert(name, value);
            }
            if freedom.pick(3) == 0 {
                written.insert("nobodyKnowsThis".to_owned(), json!([{"a": null}, 1.5, "x"]));
            }
            for name in OPTIONAL {
                // A member that is not there may be there as null; `message` alone would be another event.
                if freedom.pick(8) == 0 && !written.contains_key(*name) && !written.contains_key(&snake(name)) {
                    written.insert((*name).to_owned(), Value::Null);
                }
            }
            Value::Object(written)
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| free(value, freedom)).collect()),
        other => other.clone(),
    }
}

fn field(name: &str, value: &Value, freedom: &mut Freedom) -> Value {
    if RAW.contains(&name) {
        return value.clone();
    }
    if MAPS.contains(&name) {
        let entries = value.as_object().unwrap().iter().map(|(key, value)| (key.clone(), free(value, freedom)));
        return Value::Object(entries.collect());
    }
    if let Some((_, names)) = ENUMS.iter().find(|(known, _)| *known == name)
        && let Some(number) = value.as_str().and_then(|value| names.iter().position(|name| *name == value))
    {
        return if freedom.pick(2) == 0 { json!(number) } else { value.clone() };
    }
    if INTEGERS.contains(&name) {
        let number = value.as_i64().unwrap();
        return match freedom.pick(4) {
            0 => json!(number.to_string()),
            1 => serde_json::from_str(&format!("{number}.0")).unwrap(),
            2 => json!(format!("{number}.0")),
            _ => value.clone(),
        };
    }
    if name == "raw" {
        let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
        return json!(match freedom.pick(4) {
            0 => URL_SAFE.encode(bytes),
            1 => URL_SAFE_NO_PAD.encode(bytes),
            2 => STANDARD_NO_PAD.encode(bytes),
            _ => STANDARD.encode(bytes),
        });
    }
    if ["timestamp", "statusTimestampAfter"].contains(&name) {
        return json!(moment(value.as_str().unwrap(), freedom));
    }
    free(value, freedom)
}

/// The same moment, written with another offset or more digits.
fn moment(canonical: &str, freedom: &mut Freedom) -> String {
    let moment = Timestamp::parse(canonical).unwrap();
    let hours = i64::try_from(freedom.pick(27)).unwrap() - 13;
    let shifted = Timestamp::from_millis(moment.millis() + hours * 3_600_000).to_string();
    let shifted = shifted.trim_end_matches('Z');
    let digits = match freedom.pick(3) {
        0 if shifted.contains('.') => format!("{shifted}000000"),
        1 if !shifted.contains('.') => format!("{shifted}.0"),
        _ => shifted.to_owned(),
    };
    if hours == 0 {
        format!("{digits}Z")
    } else {
        format!("{digits}{}{:02}:00", if hours < 0 { '-' } else { '+' }, hours.abs())
    }
}

fn snake(camel: &str) -> String {
    camel.chars().fold(String::new(), |mut snake, letter| {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        snake
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), object(inner)]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-z_A-Z]{0,6}", value, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn metadata() -> impl Strategy<Value = Value> {
    object(json_value())
}

/// An object of these members, of which some may be missing.
fn members(members: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    values
        .prop_map(move |values| {
            let there = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
            Value::Object(there.collect())
        })
        .boxed()
}

fn must(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    value.prop_map(Some).boxed()
}

fn may(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop::option::of(value).boxed()
}

/// A text that is there: the empty one is not written.
fn text() -> impl Strategy<Value = Value> {
    ".{1,12}".prop_map(Value::from)
}

fn texts() -> impl Strategy<Value = Value> {
    prop::collection::vec("[a-z/]{1,8}", 1..3).prop_map(Value::from)
}

fn list(value: impl Strategy<Value = Value> + 'static, least: usize) -> BoxedStrategy<Value> {
    prop::collection::vec(value, least..3).prop_map(Value::from).boxed()
}

fn part() -> BoxedStrategy<Value> {
    let content = prop_oneof![
        ".{0,12}".prop_map(|text| ("text", json!(text))),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| ("raw", json!(STANDARD.encode(bytes)))),
        ".{0,12}".prop_map(|url| ("url", json!(url))),
        json_value().prop_map(|data| ("data", data)),
    ];
    let about = members(vec![("metadata", may(metadata())), ("filename", may(text())), ("mediaType", may(text()))]);
    (content, about)
        .prop_map(|((name, content), mut part)| {
            part[name] = content;
            part
        })
        .boxed()
}

fn role() -> impl Strategy<Value = Value> {
    prop::sample::select(ENUMS[0].1).prop_map(Value::from)
}

fn message() -> BoxedStrategy<Value> {
    members(vec![
        ("messageId", must(text())),
        ("contextId", may(text())),
        ("taskId", may(text())),
        ("role", must(role())),
        ("parts", must(list(part(), 1))),
        ("metadata", may(metadata())),
        ("extensions", may(texts())),
        ("referenceTaskIds", may(texts())),
    ])
}

fn artifact() -> BoxedStrategy<Value> {
    members(vec![
        ("artifactId", must(text())),
        ("name", may(text())),
        ("description", may(text())),
        ("parts", must(list(part(), 1))),
        ("metadata", may(metadata())),
        ("extensions", may(texts())),
    ])
}

fn timestamp() -> impl Strategy<Value = Value> {
    (-60_000_000_000_000_i64..250_000_000_000_000).prop_map(|millis| json!(Timestamp::from_millis(millis)))
}

fn status() -> BoxedStrategy<Value> {
    members(vec![
        ("state", must(prop::sample::select(STATES).prop_map(Value::from))),
        ("message", may(message())),
        ("timestamp", may(timestamp())),
    ])
}

fn task() -> BoxedStrategy<Value> {
    members(vec![
        ("id", must(text())),
        ("contextId", may(text())),
        ("status", must(status())),
        ("artifacts", may(list(artifact(), 0))),
        ("history", may(list(message(), 1))),
        ("metadata", may(metadata())),
    ])
}

fn flag() -> impl Strategy<Value = Value> {
    Just(json!(true))
}

fn event() -> impl Strategy<Value = Value> {
    let status = members(vec![
        ("taskId", must(text())),
        ("contextId", must(text())),
        ("status", must(status())),
        ("metadata", may(metadata())),
    ]);
    let artifact = members(vec![
        ("taskId", must(text())),
        ("contextId", must(text())),
        ("artifact", must(artifact())),
        ("append", may(flag())),
        ("lastChunk", may(flag())),
        ("metadata", may(metadata())),
    ]);
    prop_oneof![
        task().prop_map(|task| json!({"task": task})),
        message().prop_map(|message| json!({"message": message})),
        status.prop_map(|update| json!({"statusUpdate": update})),
        artifact.prop_map(|update| json!({"artifactUpdate": update})),
    ]
}

fn integer() -> impl Strategy<Value = Value> {
    any::<i32>().prop_map(Value::from)
}

fn send() -> BoxedStrategy<Value> {
    let push =
        members(vec![("id", may(text())), ("taskId", may(text())), ("url", must(text())), ("token", may(text()))]);
    let configuration = members(vec![
        ("acceptedOutputModes", may(texts())),
        ("historyLength", may(integer())),
        ("returnImmediately", may(flag())),
        ("taskPushNotificationConfig", may(push)),
    ]);
    members(vec![
        ("tenant", may(text())),
        ("message", must(message())),
        ("configuration", must(configuration)),
        ("metadata", may(metadata())),
    ])
}

fn list_request() -> BoxedStrategy<Value> {
    let state = prop::sample::select(&STATES[1..]).prop_map(Value::from);
    members(vec![
        ("contextId", may(text())),
        ("status", may(state)),
        ("pageSize", may(integer())),
        ("pageToken", may(text())),
        ("historyLength", may(integer())),
        ("statusTimestampAfter", may(timestamp())),
        ("includeArtifacts", may(any::<bool>().prop_map(Value::from))),
    ])
}

fn list_response() -> BoxedStrategy<Value> {
    members(vec![
        ("tasks", must(list(task(), 0))),
        ("nextPageToken", must(".{0,5}".prop_map(Value::from))),
        ("pageSize", must(integer())),
        ("totalSize", must(integer())),
    ])
}

fn card() -> BoxedStrategy<Value> {
    let interface = members(vec![
        ("url", must(text())),
        ("protocolBinding", must(text())),
        ("protocolVersion", must(text())),
        ("tenant", may(text())),
    ]);
    let extension = members(vec![
        ("uri", must(text())),
        ("description", may(text())),
        ("required", may(flag())),
        ("params", may(metadata())),
    ]);
    let boolean = || any::<bool>().prop_map(Value::from);
    let capabilities = members(vec![
        ("streaming", may(boolean())),
        ("pushNotifications", may(boolean())),
        ("extendedAgentCard", may(boolean())),
        ("extensions", may(list(extension, 1))),
    ]);
    let requirement = || Just(json!({"schemes": {"my_scheme": {"list": ["x"]}}}));
    let skill = members(vec![
        ("id", must(text())),
        ("name", must(text())),
        ("description", must(text())),
        ("tags", must(texts())),
        ("examples", may(texts())),
        ("inputModes", may(texts())),
        ("securityRequirements", may(list(requirement(), 1))),
    ]);
    let schemes = prop_oneof![
        Just(json!({"my_scheme": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}})),
        Just(json!({"a": {"apiKeySecurityScheme": {"location": "header", "name": "x"}}}))
    ];
    members(vec![
        ("name", must(text())),
        ("description", must(text())),
        ("supportedInterfaces", must(list(interface, 0))),
        ("version", must(text())),
        ("documentationUrl", may(text())),
        ("capabilities", must(capabilities)),
        ("securitySchemes", may(schemes)),
        ("securityRequirements", may(list(requirement(), 1))),
        ("defaultInputModes", must(texts())),
        ("defaultOutputModes", must(texts())),
        ("skills", must(list(skill, 0))),
        ("iconUrl", may(text())),
        ("signatures", may(list(Just(json!({"protected": "p", "signature": "s", "header": {"k": 1}})), 1))),
    ])
}

/// Reads both forms, and asserts what has to hold of them.
fn holds<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    canonical: &Value,
    freedom: u64,
) -> Result<(), TestCaseError> {
    let written = free(canonical, &mut Freedom(freedom)).to_string();
    let read: T = serde_json::from_str(&written).map_err(|error| TestCaseError::fail(format!("{error}: {written}")))?;
    let expected: T = serde_json::from_str(&canonical.to_string())
        .map_err(|error| TestCaseError::fail(format!("{error}: {canonical}")))?;
    prop_assert_eq!(&read, &expected);
    let again = serde_json::to_string(&read).unwrap();
    prop_assert_eq!(&serde_json::from_str::<Value>(&again).unwrap(), canonical);
    prop_assert_eq!(&serde_json::from_str::<T>(&again).unwrap(), &read);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn events_are_read_however_they_are_written(value in event(), freedom: u64) {
        holds::<StreamResponse>(&value, freedom)?;
    }

    #[test]
    fn tasks_are_read_however_they_are_written(value in task(), freedom: u64) {
        holds::<Task>(&value, freedom)?;
    }

    #[test]
    fn requests_to_send_are_read_however_they_are_written(value in send(), freedom: u64) {
        holds::<SendMessageRequest>(&value, freedom)?;
    }

    #[test]
    fn lists_are_read_however_they_are_written(request in list_request(), response in list_response(), freedom: u64) {
        holds::<ListTasksRequest>(&request, freedom)?;
        holds::<ListTasksResponse>(&response, freedom)?;
    }

    #[test]
    fn cards_are_read_however_they_are_written(value in card(), freedom: u64) {
        holds::<AgentCard>(&value, freedom)?;
    }

    #[test]
    fn moments_are_read_in_any_zone_and_with_any_fraction(millis in -60_000_000_000_000_i64..250_000_000_000_000, freedom: u64) {
        let moment_read = Timestamp::from_millis(millis);
        prop_assert_eq!(moment_read.millis(), millis);
        let written = moment(&moment_read.to_string(), &mut Freedom(freedom));
        prop_assert_eq!(Timestamp::parse(&written), Some(moment_read), "{}", written);
    }
}

#[test]
fn moments_that_are_none_are_refused() {
    for bad in [
        "",
        "2026-11-21",
        "2026-11-21T14:00:00",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T00:00:60Z",
        "2026-11-21T00:00:00.Z",
        "2026-11-21T00:00:00.1234567890Z",
        "2026-11-21T00:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "2026-11-21 00:00:00Z",
        "+026-11-21T00:00:00Z",
        "２026-11-21T00:00:00Z",
    ] {
        assert_eq!(Timestamp::parse(bad), None, "{bad}");
    }
    for (text, canonical) in [
        ("2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.999999999Z"),
        ("1970-01-01t00:00:00z", "1970-01-01T00:00:00Z"),
        ("2026-11-21T00:00:00.120Z", "2026-11-21T00:00:00.120Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ] {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), canonical);
    }
}
