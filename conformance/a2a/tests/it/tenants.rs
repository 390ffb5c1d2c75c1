//! Nobody reaches another's tasks: every operation, both transports, every kind of stranger.
//!
//! A refusal must not even tell that the task exists: each is compared with the one for an id that never was.

use crate::support::{Server, TRIP};
use bivouac_conformance_a2a::{
    Agent, Binding,
    agent::{Operation, Trouble, message, state},
    talk::snapshot,
};
use serde_json::{Value, json};

/// Where the agent is in the environment that is public, and where in another one.
const HERE: &str = "/agents/trip-planner";
const THERE: &str = "/envs/other/agents/trip-planner";
/// Another agent of the public environment.
const BESIDE: &str = "/agents/greeter";
/// The agent asks back to this.
const START: &str = "I would like to travel";

/// An id of the same form that no task has.
fn never(id: &str) -> String {
    let last = id.chars().last().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    format!("{}{other}", &id[..id.len() - last.len_utf8()])
}

fn to_task(task: &str, context: Option<&str>) -> Value {
    let mut request = message("stranger", "let me in");
    request["message"]["taskId"] = json!(task);
    if let Some(context) = context {
        request["message"]["contextId"] = json!(context);
    }
    request
}

/// Every operation that names a task.
fn operations(task: &str, context: &str) -> Vec<Operation> {
    vec![
        Operation::Send(to_task(task, None)),
        Operation::Send(to_task(task, Some(context))),
        Operation::Stream(to_task(task, None)),
        Operation::Stream(to_task(task, Some(context))),
        Operation::Get(task.to_owned()),
        Operation::Cancel(task.to_owned()),
        Operation::Subscribe(task.to_owned()),
        Operation::CreatePush(task.to_owned()),
        Operation::GetPush(task.to_owned()),
        Operation::ListPush(task.to_owned()),
        Operation::DeletePush(task.to_owned()),
    ]
}

/// Asks, whatever the operation answers with; the refusal, in words without the id.
fn refusal(agent: &Agent, operation: &Operation, id: &str) -> Result<String, Value> {
    let outcome = match operation {
        Operation::Stream(_) | Operation::Subscribe(_) => {
            agent.follow(operation, None).and_then(|mut events| snapshot(events.event()?)).map(|event| event.payload)
        }
        _ => agent.ask(operation),
    };
    match outcome {
        Ok(answer) => Err(answer),
        Err(Trouble::Refused(refusal)) => Ok(refusal.to_string().replace(id, "ID")),
        Err(trouble) => panic!("{}: {trouble}", operation.name()),
    }
}

#[test]
fn a_stranger_finds_nothing_whatever_he_asks() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for environment in ["default", "other"] {
        server.deploy(TRIP, environment);
    }
    server.deploy("hello", "default");
    let alice = server.key("default", "alice");
    let [bob, alice_there, bob_there] = [("default", "bob"), ("other", "alice"), ("other", "bob")]
        .map(|(environment, user)| server.key(environment, user));
    for binding in Binding::ALL {
        let at = |base: &str, key: &str| server.agent(base, binding).with_key(key);
        let owner = at(HERE, &alice);
        let task = owner.ask(&Operation::Send(message(&format!("mine-{binding:?}"), START))).unwrap()["task"].clone();
        assert_eq!(state(&task), "INPUT_REQUIRED");
        let (id, context) = (task["id"].as_str().unwrap(), task["contextId"].as_str().unwrap());
        let strangers = [
            ("another user", at(HERE, &bob)),
            ("the same name in another environment", at(THERE, &alice_there)),
            ("another user there", at(THERE, &bob_there)),
            ("the same user for another tenant", owner.with_header("x-tenant-id", "another")),
            ("the same user at another agent", at(BESIDE, &alice)),
        ];
        for (who, stranger) in &strangers {
            let nobody = never(id);
            for (operation, unknown) in operations(id, context).iter().zip(operations(&nobody, context)) {
                let what = format!("{who}, {} over {binding:?}", operation.name());
                let refused = refusal(stranger, operation, id).unwrap_or_else(|answer| panic!("{what}: {answer}"));
                let expected = refusal(stranger, &unknown, &nobody).unwrap();
                assert_eq!(refused, expected, "{what}: a task of another's looks like none");
                if !operation.name().contains("Push") {
                    assert!(refused.contains("TASK_NOT_FOUND"), "{what}: {refused}");
                }
            }
            for filters in [json!({}), json!({"contextId": context})] {
                let page = stranger.ask(&Operation::List(filters)).unwrap();
                assert_eq!((&page["tasks"], &page["totalSize"]), (&json!([]), &json!(0)), "{who}: {page}");
            }
        }
        // An environment that a key does not belong to is not there for it, card and all.
        let abroad = at(THERE, &alice);
        let nowhere = at(&THERE.replace("other", "nowhere"), &alice);
        assert_eq!(abroad.card().unwrap().0, 404, "the card of another environment");
        assert_eq!(nowhere.card().unwrap().0, 404, "the card of an environment that is not");
        for (operation, what) in operations(id, context)
            .iter()
            .chain([&Operation::List(json!({})), &Operation::ExtendedCard])
            .map(|it| (it, it.name()))
        {
            let refused = refusal(&abroad, operation, id).unwrap_or_else(|answer| panic!("{what} abroad: {answer}"));
            let expected = refusal(&nowhere, operation, id).unwrap();
            assert_eq!(
                refused.replace("other", "nowhere"),
                expected,
                "{what}: an environment of others looks like none"
            );
        }
        // Nothing of all this touched the task.
        let now = owner.ask(&Operation::Get(id.to_owned())).unwrap();
        assert_eq!(now, task, "the owner's task is as it was");
    }
}

#[test]
fn a_context_is_its_owners() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.deploy(TRIP, "default");
    let [alice, bob] = ["alice", "bob"].map(|user| server.key("default", user));
    for binding in Binding::ALL {
        let [alice, bob] = [&alice, &bob].map(|key| server.agent(HERE, binding).with_key(key));
        let mine = alice.ask(&Operation::Send(message(&format!("mine-{binding:?}"), START))).unwrap()["task"].clone();
        let context = mine["contextId"].as_str().unwrap();
        let filters = json!({"contextId": context, "includeArtifacts": true});
        let mut request = message(&format!("his-{binding:?}"), START);
        request["message"]["contextId"] = json!(context);
        // Whether a context of that name may begin for him too is the server's to say; the owner's he does not get.
        if let Ok(his) = bob.ask(&Operation::Send(request)) {
            let his = &his["task"];
            assert_ne!(his["id"], mine["id"]);
            let said = his["history"].as_array().unwrap();
            assert!(said.iter().all(|said| said["messageId"] != mine["history"][0]["messageId"]), "{his:#}");
            let page = bob.ask(&Operation::List(filters.clone())).unwrap();
            assert_eq!((&page["totalSize"], &page["tasks"][0]["id"]), (&json!(1), &his["id"]), "{page}");
        }
        let page = alice.ask(&Operation::List(filters)).unwrap();
        assert_eq!((&page["totalSize"], &page["tasks"][0]["id"]), (&json!(1), &mine["id"]), "{page}");
        // The same message id is another message when another user sends it.
        let his = bob.ask(&Operation::Send(message(&format!("mine-{binding:?}"), START))).unwrap();
        assert_ne!(his["task"]["id"], mine["id"]);
    }
}

#[test]
fn without_a_key_there_is_nothing_to_ask() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.deploy(TRIP, "default");
    let alice = server.key("default", "alice");
    for binding in Binding::ALL {
        let agent = server.agent(HERE, binding);
        let request = message(&format!("m-{binding:?}"), START);
        let task = agent.with_key(&alice).ask(&Operation::Send(request)).unwrap()["task"].clone();
        let (id, context) = (task["id"].as_str().unwrap(), task["contextId"].as_str().unwrap());
        let operations = operations(id, context).into_iter().chain([
            Operation::List(json!({})),
            Operation::ExtendedCard,
            Operation::Send(message("nobody", START)),
        ]);
        for operation in operations {
            for stranger in [agent.clone(), agent.with_key("bvk_nothing_of_the_sort")] {
                let Err(Trouble::Refused(refusal)) = stranger.ask(&operation) else {
                    panic!("{} over {binding:?} was not refused", operation.name());
                };
                assert_eq!(refusal.status, 401, "{}: {refusal}", operation.name());
            }
        }
    }
}
