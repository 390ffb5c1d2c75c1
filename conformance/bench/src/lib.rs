//! Components whose only purpose is to be measured: one that only answers, one whose steps call a service, one whose
//! steps only compute.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// Who is greeted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Greeting {
    /// A name.
    pub name: String,
}

/// How much is done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Work {
    /// Where the service is; unused where steps only compute.
    #[serde(default)]
    pub url: String,
    /// How many steps.
    pub steps: u32,
}

/// Answers at once.
///
/// # Errors
/// None.
#[bivouac::function]
pub async fn hello(_ctx: &Context, input: Greeting) -> Result<String, Error> {
    Ok(format!("hello {}", input.name))
}

/// Each step is one request.
///
/// # Errors
/// What the service answers.
#[bivouac::workflow]
pub async fn calls(ctx: &Context, work: Work) -> Result<u32, Error> {
    for index in 0..work.steps {
        let request = ctx.http().post(&work.url).json(&index);
        let _status: u16 = ctx.step("call", async { Ok(request.send().await?.error_for_status()?.status()) }).await?;
    }
    Ok(work.steps)
}

/// Each step only computes.
///
/// # Errors
/// None.
#[bivouac::workflow]
pub async fn computes(ctx: &Context, work: Work) -> Result<u64, Error> {
    let mut sum = 0_u64;
    for index in 0..work.steps {
        sum += ctx.step("add", async { Ok(u64::from(index)) }).await?;
    }
    Ok(sum)
}

/// What the module offers and asks for.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new().component::<hello>().component::<calls>().component::<computes>().host("127.0.0.1:*")
}
