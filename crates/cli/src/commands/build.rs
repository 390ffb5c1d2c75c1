//! `bivouac build`: from a project to a module that a server accepts.

use super::json;
use crate::{cli::Globals, failure::Result, grants, module, output, project::Project};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Build a project to a WebAssembly module
///
/// Has cargo build the library for wasm32-wasip1 with the settings of a guest (small, fat LTO, panics abort), adds the
/// target with rustup when it is missing, and checks that a server would accept what came out. A `[profile.guest]` in
/// the workspace's Cargo.toml is used instead of our settings.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac build                    the project in this folder
  bivouac build examples/hello
  bivouac build --package order    one package of a workspace")]
pub(crate) struct BuildArgs {
    /// The project's folder
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// The package to build, where the folder holds several [default: `package` in bivouac.toml]
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
}

pub(crate) async fn run(args: &BuildArgs, globals: &Globals) -> Result {
    let project = Project::find(&args.path)?;
    let built = module::obtain(&args.path, &project, args.package.as_deref()).await?;
    let components: Vec<String> =
        built.manifest.components.iter().map(|component| format!("{}/{}", component.kind, component.name)).collect();
    let asked: Vec<String> = grants::asked(&built.manifest.capabilities).iter().map(ToString::to_string).collect();
    if json(globals) {
        return output::say_json(&json!({
            "path": built.path, "size": built.bytes.len(), "sha256": built.sha256(), "package": built.name,
            "components": components, "asks_for": asked,
        }));
    }
    output::say(&output::fields(&[
        ("module", built.path.display().to_string()),
        ("size", output::size(built.bytes.len() as u64)),
        ("sha256", built.sha256()),
        ("components", components.join(", ")),
        ("asks for", asked.join(", ")),
    ]))
}
