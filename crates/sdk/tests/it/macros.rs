//! The attributes: what they make, and how they refuse.

use bivouac::{
    manifest::{Backoff, ComponentKind, Retries},
    prelude::*,
    protocol::{Guest as _, manifest::Manifest},
};

/// Greets,
/// in one sentence.
///
/// And more that is not its description.
#[bivouac::function]
pub(crate) async fn plain(_ctx: &Context, (): ()) -> Result<(), Error> {
    Ok(())
}

#[bivouac::workflow(
    name = "the-other",
    description = "Something else.",
    retries(max_attempts = 5, initial_interval_ms = 10, max_interval_ms = 20, backoff = "linear", multiplier = 1.5)
)]
async fn other(_ctx: &Context, input: u32) -> Result<u32, std::num::ParseIntError> {
    input.to_string().parse()
}

#[bivouac::module]
pub(crate) fn configure() -> Module {
    Module::new().component::<plain>().component::<other>().host("a.example").secret("S").memory().patch("p")
}

#[test]
fn a_module_describes_its_components_and_what_it_asks_for() {
    let manifest: Manifest = serde_json::from_slice(&guest().configure()).unwrap();
    assert_eq!(manifest, configure().manifest());
    assert_eq!(manifest.sdk, "bivouac-rust/0.1.0");
    let [plain, other] = &manifest.components[..] else { panic!("two components") };
    assert_eq!((plain.kind, plain.name.as_str()), (ComponentKind::Function, "plain"));
    assert_eq!(plain.description.as_deref(), Some("Greets, in one sentence."));
    assert_eq!(plain.flow_control.retries, None);
    assert_eq!((other.kind, other.name.as_str()), (ComponentKind::Workflow, "the-other"));
    assert_eq!(other.description.as_deref(), Some("Something else."));
    let retries = Retries {
        max_attempts: 5,
        initial_interval_ms: 10,
        max_interval_ms: 20,
        backoff: Backoff::Linear,
        multiplier_thousandths: 1_500,
    };
    assert_eq!(other.flow_control.retries, Some(retries));
    let capabilities = manifest.capabilities;
    assert_eq!((capabilities.hosts, capabilities.secrets), (vec!["a.example".to_owned()], vec!["S".to_owned()]));
    assert!(capabilities.memory);
    assert_eq!(manifest.patches, ["p"]);
    let ops = ["sleep", "ask", "http", "memory.load", "memory.list", "memory.save", "memory.delete"];
    assert_eq!(manifest.ops, ops);
}

#[test]
fn only_operations_that_can_be_granted_are_listed() {
    assert_eq!(Module::new().manifest().ops, ["sleep", "ask"]);
}

#[test]
fn misuse_is_refused_with_an_error_that_shows_the_right_form() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
