//! The embedded server with memory in a key-value server of the author's: killed and started again, it loses nothing.

use crate::{etcd::Etcd, world::World};
use bivouac::{AgentResult, AuthContext, MemoryService, async_trait, runtime::DefaultRuntime};
use bivouac_testbed::process::Process;
use foreign::{etcd::Etcd as Store, native::Reqwest, trips};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const WITHIN: Duration = Duration::from_secs(60);

struct Served {
    url: String,
    process: Process,
}

/// The server's API at an address.
struct Api<'a>(&'a str);

impl Served {
    fn api(&self) -> Api<'_> {
        Api(&self.url)
    }

    fn start(etcd: &Etcd, world: &str, data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
        let mut process = Process::spawn(command.args([&etcd.url, world]).arg(data)).unwrap();
        let line = process.wait_for_line("listening on http://", WITHIN).unwrap();
        Self { url: line.trim_start_matches("listening on ").trim().to_owned(), process }
    }
}

impl Api<'_> {
    /// Begins a task; gives its run.
    async fn begin(&self, text: &str) -> String {
        let body = json!({ "messageId": "m1", "role": "ROLE_USER", "parts": [{ "text": text }] });
        let reply = reqwest::Client::new().post(format!("{}/v1/agents/trips/submit", self.0)).json(&body).send();
        let reply: Value = reply.await.unwrap().json().await.unwrap();
        reply["run_id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
    }

    async fn get(&self, run: &str) -> Value {
        let reply = reqwest::get(format!("{}/v1/runs/{run}", self.0)).await.unwrap();
        reply.json().await.unwrap()
    }

    async fn answer(&self, run: &str, id: &str, text: &str) -> Value {
        let body = json!({ "answer": text, "id": id });
        let reply = reqwest::Client::new().post(format!("{}/v1/runs/{run}/answer", self.0)).json(&body).send();
        reply.await.unwrap().json().await.unwrap()
    }

    /// Waits until the run is in a state.
    async fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + WITHIN;
        loop {
            let found = self.get(run).await;
            if wanted(&found) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "it stays {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_the_program_survives_a_kill_between_question_and_answer() {
    let (etcd, world, data) = (Etcd::start(), World::default(), tempfile::tempdir().unwrap());
    let place = world.serve().await;
    let served = Served::start(&etcd, &place, data.path());
    let run = served.api().begin("Lisbon").await;
    served.api().until(&run, |run| run.to_string().contains("How many days in Lisbon?")).await;
    // Dropping it kills it.
    drop(served.process);
    let served = Served::start(&etcd, &place, data.path());
    served.api().answer(&run, "a1", "4").await;
    let done = served.api().until(&run, |run| run["status"] == "completed" || run["status"] == "failed").await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(world.bookings.lock().unwrap().values().copied().collect::<Vec<_>>(), [1]);
    // It lies in etcd, for the user that asked, and nowhere else.
    let store = Store::new(Arc::new(Reqwest::default()), &etcd.url);
    let user = done["user_id"].as_str().unwrap_or_default().to_owned();
    let mut kept = Vec::new();
    for user in [user.as_str(), "", "local", "dev"] {
        kept.extend(store.load_serialized(&AuthContext::new("trips", user), "last-place").await.unwrap());
    }
    assert_eq!(kept, [json!("Lisbon")], "{done}");
    let next = served.api().begin("Porto").await;
    let next = served.api().until(&next, |run| run.to_string().contains("How many days in Porto?")).await;
    assert!(!next.is_null());
}

/// A store whose first write is answered never: it may have arrived, or not.
struct Hangs {
    store: Store,
    hang: AtomicBool,
    keys: Mutex<Vec<String>>,
}

#[async_trait]
impl MemoryService for Hangs {
    async fn save_serialized(&self, auth_ctx: &AuthContext, key: &str, value: Value) -> AgentResult<()> {
        self.store.save_serialized(auth_ctx, key, value).await
    }

    async fn load_serialized(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<Value>> {
        self.store.load_serialized(auth_ctx, key).await
    }

    async fn list(&self, auth_ctx: &AuthContext, prefix: &str) -> AgentResult<Vec<String>> {
        MemoryService::list(&self.store, auth_ctx, prefix).await
    }

    async fn delete(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<()> {
        self.store.delete(auth_ctx, key).await
    }

    async fn save_once(&self, auth_ctx: &AuthContext, key: &str, value: Value, once: &str) -> AgentResult<()> {
        self.keys.lock().unwrap().push(once.to_owned());
        if self.hang.swap(false, Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.save_serialized(auth_ctx, key, value).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_may_have_arrived_is_repeated_under_its_key_after_a_restart() {
    let (etcd, world, data) = (Etcd::start(), World::default(), tempfile::tempdir().unwrap());
    let place = world.serve().await;
    let store = Store::new(Arc::new(Reqwest::default()), &etcd.url);
    let hangs = Arc::new(Hangs { store, hang: AtomicBool::new(true), keys: Mutex::default() });
    let start = || {
        DefaultRuntime::new(trips::agents_of(&place))
            .named("trips", "1")
            .memory_service(Arc::clone(&hangs) as Arc<dyn MemoryService>)
            .listen(([127, 0, 0, 1], 0).into())
            .data(data.path())
            .start()
    };
    let serving = start().await.unwrap();
    let url = format!("http://{}", serving.address());
    let api = Api(&url);
    let run = api.begin("Lisbon").await;
    api.until(&run, |run| run.to_string().contains("How many days in Lisbon?")).await;
    api.answer(&run, "a1", "4").await;
    let deadline = tokio::time::Instant::now() + WITHIN;
    while hangs.keys.lock().unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "nothing was written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    serving.shutdown().await.unwrap();
    let serving = start().await.unwrap();
    let url = format!("http://{}", serving.address());
    let done = Api(&url).until(&run, |run| run["status"] == "completed" || run["status"] == "failed").await;
    assert_eq!(done["status"], "completed", "{done}");
    let keys = hangs.keys.lock().unwrap().clone();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].starts_with(&run), "{keys:?}");
    serving.shutdown().await.unwrap();
}
