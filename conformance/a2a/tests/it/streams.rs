//! A stream that is cut anywhere and taken up again tells each event once; a restart in between changes nothing.

use crate::support::World;
use bivouac_conformance_a2a::{
    Agent, Binding, Host, Scenario,
    agent::{Operation, TaskEvent, answer, state},
    normal::difference,
    talk::{Conversation, converse, ends_stream, resume, snapshot},
};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn a_finished_conversation_can_be_taken_up_after_every_event() {
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let told = converse(&served.agent(Binding::JsonRpc), &scenario, "whole").unwrap();
    let whole = every_suffix(&served.agent(Binding::JsonRpc), &told);
    assert_eq!(every_suffix(&served.agent(Binding::Rest), &told), whole);
    served.kill().unwrap();
    // The journal tells the same to a server that never saw the conversation.
    let served = world.start();
    for binding in Binding::ALL {
        assert_eq!(every_suffix(&served.agent(binding), &told), whole);
    }
}

/// After each event of a conversation comes what came after it, byte for byte, and the task is shown as it was then.
/// Gives all events.
fn every_suffix(agent: &Agent, told: &Conversation) -> Vec<TaskEvent> {
    let first = told.turns[0].snapshot.id.as_deref().expect("a snapshot says where it stands");
    let whole = resume(agent, &told.task_id(), first, |_| false, |_, _| ()).unwrap();
    let ids: Vec<&str> = whole.iter().map(|event| event.id.as_deref().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is that of one event: {ids:?}");
    // What was told as it happened is what is told now, from each snapshot on.
    for turn in &told.turns {
        let from = ids.iter().position(|id| Some(*id) == turn.snapshot.id.as_deref()).map_or(0, |at| at + 1);
        assert_eq!(turn.events, whole[from..from + turn.events.len()], "from {:?} on", turn.snapshot.id);
    }
    for at in 0..whole.len() {
        let shown = |after: &str, snapshot: &TaskEvent| {
            assert_eq!(snapshot.id.as_deref(), Some(after), "a snapshot says where it stands");
            let place = ids.iter().position(|id| *id == after).unwrap();
            let then = whole[..=place].iter().rev().find_map(|event| event.payload.get("statusUpdate"));
            if let Some(then) = then {
                assert_eq!(state(&snapshot.payload["task"]), state(then), "the task as of {after}");
            }
        };
        let rest = resume(agent, &told.task_id(), ids[at], |_| false, shown).unwrap();
        assert_eq!(rest, whole[at + 1..], "after {} over {:?}", ids[at], agent.binding());
    }
    whole
}

#[test]
fn a_stream_cut_at_any_event_is_taken_up_while_the_task_goes_on() {
    let world = World::new(Host::Module);
    let served = world.start();
    for binding in Binding::ALL {
        let (agent, scenario) = (served.agent(binding), world.scenario(&served, binding));
        let told = converse(&agent, &scenario, &format!("whole-{binding:?}")).unwrap();
        for at in 0..longest_stream(&told) {
            let cut = cut_at(&agent, &scenario, &format!("cut-{binding:?}-{at}"), at);
            assert_eq!(difference(&cut, &told.payloads()), None, "cut at {at} over {binding:?}");
        }
    }
}

/// How many events the longest stream of a conversation has, its snapshot too.
fn longest_stream(told: &Conversation) -> usize {
    told.turns.iter().map(|turn| turn.events.len() + 1).max().unwrap()
}

/// Plays a scenario, each stream cut after `at` events and then taken up; gives all events as if nothing had been cut.
fn cut_at(agent: &Agent, scenario: &Scenario, name: &str, at: usize) -> Vec<Value> {
    let (mut payloads, mut task) = (Vec::new(), Value::Null);
    for turn in 0..=scenario.answers.len() {
        let request = match turn.checked_sub(1) {
            None => scenario.opening(&format!("{name}-0")),
            Some(asked) => answer(&format!("{name}-{turn}"), &scenario.answers[asked], &task),
        };
        let mut events = agent.follow(&Operation::Stream(request), None).unwrap();
        let opening = snapshot(events.event().unwrap()).unwrap();
        task = opening.payload["task"].clone();
        let mut heard: Vec<TaskEvent> = (0..at).map_while(|_| events.event().unwrap()).collect();
        drop(events);
        if !heard.last().is_some_and(|event| ends_stream(&event.payload)) {
            let after = heard.last().unwrap_or(&opening).id.clone().unwrap();
            heard.extend(resume(agent, task["id"].as_str().unwrap(), &after, ends_stream, |_, _| ()).unwrap());
        }
        payloads.extend(std::iter::once(opening).chain(heard).map(|event| event.payload));
    }
    payloads
}

#[test]
fn a_stream_cut_at_any_event_is_taken_up_after_a_kill() {
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let told = converse(&served.agent(Binding::JsonRpc), &scenario, "whole").unwrap();
    served.kill().unwrap();
    for turn in 0..told.turns.len() {
        for at in 0..=told.turns[turn].events.len() {
            let heard = killed_at(&world, &format!("killed-{turn}-{at}"), turn, at);
            assert_eq!(difference(&heard, &told.payloads()), None, "killed after event {at} of turn {turn}");
        }
    }
}

/// Plays a scenario; in one turn the server dies after `at` events, and the stream is taken up from another one.
fn killed_at(world: &World, name: &str, deadly: usize, at: usize) -> Vec<Value> {
    let mut served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let mut told = Conversation::default();
    for turn in 0..=scenario.answers.len() {
        let request = match turn.checked_sub(1) {
            None => scenario.opening(&format!("{name}-0")),
            Some(asked) => answer(&format!("{name}-{turn}"), &scenario.answers[asked], told.task()),
        };
        if turn != deadly {
            told.say(&served.agent(Binding::JsonRpc), request).unwrap();
            continue;
        }
        let mut events = served.agent(Binding::JsonRpc).follow(&Operation::Stream(request), None).unwrap();
        let opening = snapshot(events.event().unwrap()).unwrap();
        let mut heard: Vec<TaskEvent> = (0..at).map_while(|_| events.event().unwrap()).collect();
        served.kill().unwrap();
        served = world.start();
        if !heard.last().is_some_and(|event| ends_stream(&event.payload)) {
            let task = opening.payload["task"]["id"].as_str().unwrap().to_owned();
            let after = heard.last().unwrap_or(&opening).id.clone().unwrap();
            let agent = served.agent(Binding::Rest);
            heard.extend(resume(&agent, &task, &after, ends_stream, |_, _| ()).unwrap());
        }
        told.turns.push(bivouac_conformance_a2a::talk::Turn { snapshot: opening, events: heard });
    }
    served.kill().unwrap();
    told.payloads()
}

#[test]
fn every_stream_of_a_task_tells_the_same_in_the_same_order() {
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::Rest);
    let agent = served.agent(Binding::Rest);
    let begun = agent.ask(&Operation::Send(scenario.opening("many-0"))).unwrap()["task"].clone();
    let id = begun["id"].as_str().unwrap().to_owned();
    let mut streams: Vec<_> = Binding::ALL
        .iter()
        .cycle()
        .take(6)
        .map(|binding| {
            let mut stream = served.agent(*binding).follow(&Operation::Subscribe(id.clone()), None).unwrap();
            snapshot(stream.event().unwrap()).unwrap();
            stream
        })
        .collect();
    // One that goes away does not disturb the others.
    drop(streams.pop());
    let request = scenario.answers("many", &begun).next().unwrap();
    agent.ask(&Operation::Send(request)).unwrap();
    let heard: Vec<Vec<TaskEvent>> = streams.iter_mut().map(|stream| stream.rest().unwrap()).collect();
    assert!(heard[0].len() > 1, "{:?}", heard[0]);
    assert!(heard.iter().all(|events| *events == heard[0]), "{heard:#?}");
}
