//! A workflow that outlives its server: every step that is done stays done.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// What a run is given.
#[derive(Debug, Serialize, Deserialize)]
pub struct Input {
    /// Who is to be welcomed.
    pub name: String,
}

/// What a run ends with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The welcome.
    pub welcome: String,
    /// How long it was thought about, in seconds.
    pub waited: u64,
}

/// How long a run thinks about the welcome.
const PAUSE: Duration = Duration::from_secs(2);

/// Welcomes somebody, slowly.
///
/// # Errors
/// `NO_NAME` where the name is empty.
#[bivouac::workflow(retries(max_attempts = 3))]
pub async fn my_project(ctx: &Context, input: Input) -> Result<Output, Error> {
    if input.name.trim().is_empty() {
        return Err(Error::terminal("NO_NAME", "say who is to be welcomed"));
    }
    // The result of a step is kept: after a crash, or in the next attempt, it is not computed
    // again. Here it could just as well come from a service: `ctx.http().get(..).send().await?`,
    // with that host named in `configure`.
    let welcome = ctx
        .step("compose", async {
            Ok(format!("Welcome, {}!", input.name.trim()))
        })
        .await?;
    // Nothing is held while it sleeps. Stop the server and start it again: the run goes on.
    ctx.sleep(PAUSE).await?;
    Ok(Output {
        welcome,
        waited: PAUSE.as_secs(),
    })
}

/// What the module offers, and what it asks for.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new().component::<my_project>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::testing::Test;

    #[test]
    fn somebody_is_welcomed_after_a_while() {
        let report = Test::of::<my_project>()
            .input(&Input { name: "Ada".into() })
            .run();
        assert_eq!(
            report.output::<Output>(),
            Output {
                welcome: "Welcome, Ada!".into(),
                waited: 2
            }
        );
        assert_eq!(report.steps(), ["compose"]);
        assert!(report.elapsed() >= PAUSE);
    }

    #[test]
    fn what_is_done_is_not_done_again() {
        let test = Test::of::<my_project>().input(&Input { name: "Ada".into() });
        let report = test.fail_attempt_after("compose").run();
        assert_eq!(report.attempts(), 2);
        assert_eq!(report.output::<Output>().welcome, "Welcome, Ada!");
    }

    #[test]
    fn nobody_cannot_be_welcomed() {
        let report = Test::of::<my_project>()
            .input(&Input { name: " ".into() })
            .run();
        assert_eq!(report.error().code(), "NO_NAME");
    }
}
