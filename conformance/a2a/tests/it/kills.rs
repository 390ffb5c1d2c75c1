//! `kill -9` before, in and after the question: nothing is lost, nothing happens twice.

use crate::support::World;
use bivouac_conformance_a2a::{
    Agent, Binding, Host,
    agent::{Operation, answer, state},
    normal::difference,
};
use bivouac_testbed::travel::{FLIGHTS, HOTELS};
use serde_json::{Value, json};
use std::{process::Command, sync::Barrier, thread, time::Duration};

const SOON: Duration = Duration::from_secs(30);
/// When the server dies after a message was sent, in milliseconds: from before it arrives until after it was answered.
const DEATHS_MS: [u64; 6] = [0, 2, 5, 12, 30, 80];

#[test]
fn a_question_is_the_same_after_a_kill_and_can_be_answered() {
    let mut world = World::new(Host::Module);
    for host in Host::DURABLE {
        world = world.elsewhere(host);
        world.travel.reset();
        let served = world.start();
        let scenario = world.scenario(&served, Binding::JsonRpc);
        let agent = served.agent(Binding::JsonRpc);
        let begun = ask(&agent, &Operation::Send(scenario.opening("q-0")));
        for request in scenario.answers("q", &begun) {
            ask(&agent, &Operation::Send(request));
        }
        let expected = get(&agent, &begun);
        assert_eq!(state(&expected), "COMPLETED");
        world.travel.reset();

        let mut task = ask(&agent, &Operation::Send(scenario.opening("k-0")));
        served.kill().unwrap();
        for request in scenario.answers("k", &task.clone()) {
            let served = world.start();
            let agent = served.agent(Binding::JsonRpc);
            assert_eq!(get(&agent, &task), task, "{host:?}: the task is what it was before the kill");
            task = ask(&agent, &Operation::Send(request));
            served.kill().unwrap();
        }
        let served = world.start();
        let ended = get(&served.agent(Binding::Rest), &task);
        assert_eq!(ended, task, "{host:?}: what has ended stays as it ended");
        assert_eq!(difference(&[ended], &[expected]), None, "{host:?}: as without kills");
        let calls = (world.travel.calls(FLIGHTS), world.travel.calls(HOTELS));
        assert_eq!(calls, (1, 1), "{host:?}: what was looked up is not looked up again");
    }
}

#[test]
fn a_task_that_dies_at_work_goes_on_at_work() {
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let task = ask(&served.agent(Binding::JsonRpc), &Operation::Send(scenario.opening("work-0")));
    let requests: Vec<Value> = scenario.answers("work", &task).collect();
    // One answer comes and is recorded, the other one is being waited for.
    world.travel.hold(HOTELS);
    let mut stream = served.agent(Binding::Rest).follow(&Operation::Stream(requests[0].clone()), None).unwrap();
    world.travel.wait_for(HOTELS, 1, SOON).unwrap();
    world.travel.wait_for_answer(FLIGHTS, 1, SOON).unwrap();
    served.kill().unwrap();
    while let Ok(Some(_)) = stream.event() {}
    world.travel.release(HOTELS);

    let served = world.start();
    let agent = served.agent(Binding::JsonRpc);
    let asked = ask(&agent, &Operation::Send(requests[0].clone()));
    assert_eq!(state(&asked), "INPUT_REQUIRED", "{asked:#}");
    let ended = ask(&agent, &Operation::Send(requests[1].clone()));
    assert_eq!(state(&ended), "COMPLETED", "{ended:#}");
    let said = |id: &Value| ended["history"].as_array().unwrap().iter().filter(|said| said["messageId"] == *id).count();
    assert!(requests.iter().all(|request| said(&request["message"]["messageId"]) == 1), "{ended:#}");
    assert_eq!(world.travel.calls(HOTELS), 2, "what died unanswered is asked again");
    assert!(
        world.travel.calls(FLIGHTS) <= 2,
        "what was answered is asked again only where the answer was not recorded"
    );
}

#[test]
fn a_message_that_dies_with_the_server_is_sent_again_and_counts_once() {
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let agent = served.agent(Binding::JsonRpc);
    let begun = ask(&agent, &Operation::Send(scenario.opening("whole-0")));
    for request in scenario.answers("whole", &begun) {
        ask(&agent, &Operation::Send(request));
    }
    let expected = get(&agent, &begun);
    served.kill().unwrap();
    for (round, death) in DEATHS_MS.into_iter().enumerate() {
        let binding = Binding::ALL[round % Binding::ALL.len()];
        let mut task = Value::Null;
        for turn in 0..=scenario.answers.len() {
            let id = format!("again-{death}-{turn}");
            let request = match turn.checked_sub(1) {
                None => scenario.opening(&id),
                Some(asked) => answer(&id, &scenario.answers[asked], &task),
            };
            task = survive(&world, binding, &Operation::Send(request), Duration::from_millis(death));
        }
        let served = world.start();
        let agent = served.agent(binding);
        let ended = get(&agent, &task);
        assert_eq!(difference(&[ended], std::slice::from_ref(&expected)), None, "killed {death} ms after each message");
        let tasks = agent.ask(&Operation::List(json!({"contextId": task["contextId"]}))).unwrap();
        assert_eq!(tasks["totalSize"], 1, "a message that was sent twice began one task: {tasks}");
        served.kill().unwrap();
    }
}

/// Sends a message, has the server die a moment later, and sends it again to the one that is started in its place.
fn survive(world: &World, binding: Binding, operation: &Operation, death: Duration) -> Value {
    let mut served = world.start();
    let pid = served.process().id().to_string();
    let killer = thread::spawn(move || {
        thread::park_timeout(death);
        Command::new("kill").args(["-9", &pid]).status().unwrap()
    });
    // Whether it was answered before the death is chance; what was answered must hold.
    let answered = served.agent(binding).ask(operation).ok();
    assert!(killer.join().unwrap().success());
    served.process().wait(SOON).unwrap();
    let served = world.start();
    let task = ask(&served.agent(binding), operation);
    if let Some(answered) = answered {
        assert_eq!(answered["task"]["id"], task["id"], "the same message is the same task");
    }
    served.kill().unwrap();
    task
}

#[test]
fn an_answer_that_is_sent_many_times_at_once_counts_once() {
    const SENDERS: usize = 8;
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let agent = served.agent(Binding::JsonRpc);
    let task = ask(&agent, &Operation::Send(scenario.opening("many-0")));
    let requests: Vec<Value> = scenario.answers("many", &task).collect();
    for request in &requests {
        let operation = Operation::Send(request.clone());
        let start = Barrier::new(SENDERS);
        let outcomes: Vec<Value> = thread::scope(|scope| {
            let send = |sender: usize| {
                let (agent, operation, start) = (served.agent(Binding::ALL[sender % 2]), &operation, &start);
                move || {
                    start.wait();
                    ask(&agent, operation)
                }
            };
            let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(send(sender))).collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        assert!(outcomes.iter().all(|outcome| outcome["id"] == task["id"]), "{outcomes:#?}");
        let now = get(&agent, &task);
        let id = &request["message"]["messageId"];
        let said = now["history"].as_array().unwrap().iter().filter(|said| said["messageId"] == *id).count();
        assert_eq!(said, 1, "{now:#}");
    }
    let ended = get(&agent, &task);
    assert_eq!(state(&ended), "COMPLETED");
    let again = ask(&agent, &Operation::Send(requests[0].clone()));
    assert_eq!(again, ended, "an answer from long ago changes nothing");
    assert_eq!(world.travel.calls(HOTELS), 1);
}

fn ask(agent: &Agent, operation: &Operation) -> Value {
    let answer = agent.ask(operation).unwrap_or_else(|trouble| panic!("{}: {trouble}", operation.name()));
    answer.get("task").cloned().unwrap_or(answer)
}

fn get(agent: &Agent, task: &Value) -> Value {
    ask(agent, &Operation::Get(task["id"].as_str().unwrap().to_owned()))
}
