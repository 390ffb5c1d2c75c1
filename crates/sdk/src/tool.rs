//! Tools: typed functions with a schema, which agents call.
//!
//! `#[tool]` makes one of an `async fn`. It is a component of its own, so it can be run and tested alone; called through
//! [`Context::tool`] its result is recorded as a step.

use crate::{Component, context::Context, error::Error};
use bivouac_protocol::Json;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;

/// A tool; `#[tool]` implements it for a type named like the function it stands on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tool",
    label = "no `#[tool]` stands on a function of this name",
    note = "a tool looks like `#[tool] async fn name(ctx: &Context, args: Args) -> Result<Output, Error>`"
)]
pub trait Tool: Component {
    /// Its name.
    const NAME: &'static str;
    /// What it takes.
    type Args: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// What it gives.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Does its work, without recording it; see [`Context::tool`].
    ///
    /// # Errors
    /// The tool's own.
    fn call(ctx: Context, args: Self::Args) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

impl Context {
    /// Calls a tool once: its result is recorded like that of a [`step`](Self::step) of the tool's name.
    ///
    /// # Errors
    /// The tool's error, and those of a step.
    ///
    /// # Examples
    /// ```
    /// use bivouac::{prelude::*, schemars};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, schemars::JsonSchema)]
    /// struct Sum {
    ///     numbers: Vec<i64>,
    /// }
    ///
    /// /// Adds numbers.
    /// #[tool]
    /// async fn add(_ctx: &Context, args: Sum) -> Result<i64, Error> {
    ///     Ok(args.numbers.iter().sum())
    /// }
    ///
    /// # async fn example(ctx: &Context) -> Result<(), Error> {
    /// assert_eq!(ctx.tool::<add>(Sum { numbers: vec![1, 2] }).await?, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tool<T: Tool>(&self, args: T::Args) -> Result<T::Output, Error> {
        self.step(T::NAME, T::call(self.clone(), args)).await
    }
}

/// The JSON Schema of a type.
pub(crate) fn schema<T: JsonSchema>() -> Json {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    Json::of(&schema).expect("a schema has text keys")
}
