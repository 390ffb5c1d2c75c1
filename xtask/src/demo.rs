//! `demo`: an order that survives a kill in its middle, on this machine, with no question asked.
//!
//! Builds the server and the example `order`, opens a shop that counts its calls, starts the server, deploys, starts an
//! order, kills the server (`kill -9`) while the shop holds the order's fourth call, starts it again on the same data,
//! and shows what happened. Everything is done with the `bivouac` command, as a person would.

use crate::{
    phases::{Phases, cargo, root, succeed, target_dir},
    setup,
};
use anyhow::{Context as _, Result, bail};
use bivouac_testbed::{Process, Shop, process::free_address};
use serde_json::{Value, json};
use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// The steps of the order, in the shop's words.
const STEPS: [&str; 6] = ["/reserve", "/charge", "/notify_warehouse", "/ship", "/invoice", "/confirm"];

/// The step in whose middle the server is killed.
const KILLED_AT: &str = "/ship";

const READY_WITHIN: Duration = Duration::from_secs(30);
const STEP_WITHIN: Duration = Duration::from_secs(60);
const FINISH_WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    setup::ensure(&mut phases)?;

    phases.run("Building the server (the first time takes some minutes)", || {
        succeed(&mut cargo(["build", "--workspace", "--bin", "bivouac"]))
    })?;
    let folder = tempfile::Builder::new().prefix("bivouac-demo-").tempdir().context("making a folder for the demo")?;
    let shop = Shop::start().context("opening the shop")?;
    let demo = Demo { bivouac: target_dir().join("debug/bivouac"), address: free_address()?, folder: folder.path() };

    let mut server = phases.run("Starting a server with the embedded store", || demo.serve())?;
    phases.run("Compiling the example `order` to WebAssembly and deploying it", || {
        let example = root().join("examples/order");
        // The secret that it also asks for is not needed for this order.
        let grant = ["--grant", "host=127.0.0.1:*", "--grant", "host=localhost:*", "--grant", "memory", "--partial"];
        let deployed =
            demo.call(["deploy".as_ref(), example.as_os_str()].into_iter().chain(grant.map(AsRef::as_ref)))?;
        let size = deployed["size"].as_u64().unwrap_or_default() / 1024;
        println!("deployment {} ({size} KiB)", deployed["deployment_id"].as_str().unwrap_or_default());
        Ok(())
    })?;

    let run = phases.run("Starting an order of six steps", || demo.order(&shop))?;
    phases.run("Killing the server in the middle of the order", || {
        shop.wait_for(KILLED_AT, 1, STEP_WITHIN).context("waiting for the order's fourth call")?;
        server.kill().context("killing the server")?;
        shop.release(KILLED_AT);
        println!("the shop has the call {KILLED_AT} in its hands; the server is gone (kill -9), its answer with it");
        Ok(())
    })?;
    let server = phases.run("Starting the server again on the same data", || demo.serve())?;
    let ended = phases.run("Following the order to its end", || {
        demo.follow(&run)
            .with_context(|| format!("the shop's calls: {:?}; the server's log:\n{}", shop.counts(), server.output()))
    })?;
    demo.show(&run, &ended, &shop)?;
    next(&demo);
    Ok(())
}

/// Where the demo takes place.
struct Demo<'a> {
    bivouac: PathBuf,
    address: SocketAddr,
    folder: &'a Path,
}

impl Demo<'_> {
    fn serve(&self) -> Result<Process> {
        let mut command = self.command();
        let listen = self.address.to_string();
        command.args(["serve", "--dev", "--listen", &listen, "--data"]).arg(self.folder.join("data"));
        let mut server = Process::spawn(&mut command).context("starting `bivouac serve`")?;
        server.wait_ready(self.address, READY_WITHIN)?;
        println!("http://{} is ready (process {})", self.address, server.id());
        Ok(server)
    }

    /// The command, in the demo's folder and speaking to the demo's server alone, which in development needs no key.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.bivouac);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BIVOUAC_")) {
            command.env_remove(name);
        }
        command
            .current_dir(self.folder)
            .env("BIVOUAC_SERVER", format!("http://{}", self.address))
            .env("CARGO_TARGET_DIR", target_dir());
        command
    }

    /// Runs a command to its end and reads the JSON that it prints; what else it says goes to the terminal.
    fn call<I, S>(&self, arguments: I) -> Result<Value>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = self.command();
        command.args(arguments).args(["-o", "json"]).stdin(Stdio::null()).stderr(Stdio::inherit());
        let shown = crate::phases::shown(&command);
        let output = command.output().with_context(|| format!("starting `{shown}`"))?;
        if !output.status.success() {
            bail!("`{shown}` ended with {}", output.status);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).with_context(|| format!("`{shown}` printed no JSON: {text}"))
    }

    fn order(&self, shop: &Shop) -> Result<String> {
        shop.hold(KILLED_AT);
        let input = json!({
            "service": shop.origin(),
            "order_id": "demo-1",
            "items": [{"sku": "tent", "quantity": 1}, {"sku": "lantern", "quantity": 2}],
        });
        let file = self.folder.join("order.json");
        fs::write(&file, input.to_string()).context("writing the order")?;
        let input = format!("@{}", file.display());
        let started = self.call(["run", "workflow/order", "--input", &input, "--detach"])?;
        let run = started["run_id"].as_str().with_context(|| format!("no run_id in {started}"))?;
        println!("run {run}");
        Ok(run.to_owned())
    }

    /// Waits for the end by following the events, as a person would; gives the run as it is then.
    fn follow(&self, run: &str) -> Result<Value> {
        let mut command = self.command();
        let mut events = Process::spawn(command.args(["runs", "events", run, "--follow", "-o", "text"]))?;
        events.wait(FINISH_WITHIN)?;
        println!("{}", events.output().trim_end());
        self.call(["runs", "show", run])
    }

    fn show(&self, run: &str, ended: &Value, shop: &Shop) -> Result<()> {
        println!("\n== What happened");
        println!("{:24} {:>5}  Idempotency-Key", "step", "calls");
        let keys = shop.keys();
        for step in STEPS {
            let of_step: Vec<_> = keys.iter().filter(|((path, _), _)| path == step).collect();
            let shown = of_step.iter().map(|((_, key), _)| key.as_str()).collect::<Vec<_>>().join(", ");
            println!("{:24} {:>5}  {shown}", step.trim_start_matches('/'), shop.calls(step));
        }
        let status = ended["status"].as_str().unwrap_or_default();
        println!("\nrun {run}: {status}");
        println!("output: {}", ended.get("output").unwrap_or(&Value::Null));
        let repeated: Vec<_> = STEPS.into_iter().filter(|step| shop.calls(step) > 1).collect();
        let missing: Vec<_> = STEPS.into_iter().filter(|step| shop.accepted(step) == 0).collect();
        if status != "completed" || !missing.is_empty() {
            bail!("the order did not survive: it is {status}, and the shop lacks {missing:?}");
        }
        if repeated != [KILLED_AT] || keys.len() != STEPS.len() || !shop.conflicts().is_empty() {
            bail!("the order survived, but not as promised: repeated {repeated:?}, keys {keys:?}");
        }
        println!(
            "\nThe server was killed with one call under way. Only that call was made again, under the same key, so the \
             shop could tell that it was one order and not two."
        );
        Ok(())
    }
}

fn next(demo: &Demo<'_>) {
    let bivouac = demo.bivouac.strip_prefix(root()).unwrap_or(&demo.bivouac).display();
    println!(
        "
== What to try next
A server of your own on http://127.0.0.1:7420, and from another terminal a function:
  {bivouac} serve --dev
  {bivouac} deploy examples/hello
  {bivouac} run function/hello --input '{{\"name\":\"Ada\"}}'
  {bivouac} runs ls
The workflow that you just saw is examples/order/src/lib.rs. Every test there is: cargo xtask test"
    );
}
