//! The smallest component: a function that greets.
//!
//! Build it as a module with `cargo build -p hello --lib --target wasm32-wasip1 --profile guest`. The test at the end
//! drives the function as a host would. Where to go next: the example `order`, which calls a service.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// Who is to be greeted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Name {
    /// The name, as the greeting is to say it.
    pub name: String,
}

/// What was said.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The greeting.
    pub message: String,
}

/// Greets somebody by name.
///
/// # Errors
/// `NO_NAME` where the name is empty.
#[bivouac::function]
pub async fn hello(ctx: &Context, input: Name) -> Result<Greeting, Error> {
    let name = input.name.trim();
    if name.is_empty() {
        return Err(Error::terminal("NO_NAME", "the input's `name` is empty: say who is to be greeted"));
    }
    ctx.debug(format!("greeting {name}"));
    Ok(Greeting { message: format!("Hello, {name}!") })
}

/// What the module offers.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new().component::<hello>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::testing::Test;

    #[test]
    fn somebody_is_greeted_by_name() {
        let report = Test::of::<hello>().input(&Name { name: " Ada ".into() }).run();
        assert_eq!(report.output::<Greeting>(), Greeting { message: "Hello, Ada!".into() });
        assert_eq!(report.turns().len(), 1);
    }

    #[test]
    fn nobody_cannot_be_greeted() {
        let report = Test::of::<hello>().input(&Name { name: " ".into() }).run();
        assert_eq!(report.error().code(), "NO_NAME");
        assert!(!report.error().is_retryable());
    }
}
