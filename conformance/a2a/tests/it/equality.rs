//! The same conversation, however the agent is served and whichever transport it is asked over.

use crate::support::World;
use bivouac_conformance_a2a::{Binding, Host, normal::difference, talk::converse};
use serde_json::Value;

#[test]
fn a_conversation_is_the_same_in_every_host_and_over_every_transport() {
    let mut first: Option<(Host, Binding, Vec<Value>)> = None;
    // One service for all: its address is in what the user says.
    let mut world = World::new(Host::Module);
    for host in Host::ALL {
        world = world.elsewhere(host);
        let served = world.start();
        for binding in Binding::ALL {
            let scenario = world.scenario(&served, binding);
            let told = converse(&served.agent(binding), &scenario, &format!("same-{binding:?}")).unwrap().payloads();
            assert!(told.len() > 2 * scenario.answers.len() + 3, "{told:#?}");
            match &first {
                None => first = Some((host, binding, told)),
                Some((other_host, other_binding, expected)) => assert_eq!(
                    difference(&told, expected),
                    None,
                    "{host:?} over {binding:?} against {other_host:?} over {other_binding:?}"
                ),
            }
        }
    }
}
