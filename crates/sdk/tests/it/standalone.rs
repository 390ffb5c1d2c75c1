//! Agents without the platform: requests of A2A in, responses out, and nothing kept but in the runtime's services.

use bivouac::{
    AgentResult, AuthContext, InMemoryRuntime, InMemoryTaskManager, KeyAuthService, TaskManager,
    prelude::*,
    services::{HttpRequest, HttpResponse, HttpService, RequestHead, Saved, TaskRecord},
    standalone::{LEASE_MS, MAX_REQUEST_BYTES, Standalone},
};
use bytes::Bytes;
use futures::FutureExt as _;
use http::{Request, Response};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Plans a trip: asks for the days, fetches twice at once, remembers the place, books.
#[skill(id = "plan", name = "Plan")]
struct Plan;

#[async_trait]
impl SkillHandler for Plan {
    async fn on_request(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let place = content.text();
        if place == "nowhere" {
            return Ok(OnRequestResult::rejected("there is nothing to see there"));
        }
        if place == "broken" {
            return Err(Error::terminal("NO_MAP", "the map is lost"));
        }
        let memory = runtime.memory_service();
        memory.save_serialized(ctx.auth(), "place", json!(place)).await?;
        task.progress(format!("looking at {place}"));
        task.set("place", &place)?;
        Ok(OnRequestResult::input_required("How many days?", SkillSlot::new("days")))
    }

    async fn on_input_received(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnInputResult> {
        let Ok(days) = content.text().parse::<u32>() else {
            return Ok(OnInputResult::input_required("A number, please.", SkillSlot::new("days")));
        };
        let place: String = task.get("place")?.unwrap_or_default();
        let (weather, hotel) = ctx
            .join(
                ctx.http().get(format!("http://world/weather/{place}")).send(),
                ctx.http().get(format!("http://world/hotels/{place}")).send(),
            )
            .await;
        let booked = ctx.http().post("http://world/book").json(&json!({ "place": place, "days": days })).send().await?;
        let remembered = runtime.memory_service().load_serialized(ctx.auth(), "place").await?;
        let text = format!(
            "{days} days in {}: {}, {}, booked {}",
            remembered.unwrap_or_default().as_str().unwrap_or_default(),
            weather?.text()?,
            hotel?.text()?,
            booked.status(),
        );
        let plan = Artifact::new("plan").with(Part::text(text));
        Ok(OnInputResult::completed("have fun").with_artifact(plan))
    }
}

fn agents() -> AgentDefinition {
    AgentDefinition::builder("trips").description("Plans trips.").skill(Plan).memory().host("world").build()
}

#[test]
fn a_conversation_goes_on_in_another_process_after_every_request() {
    let world = World::new();
    let asked = world.send("m1", None, "Lisbon");
    let task = &asked["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "How many days?");
    let id = task["id"].as_str().unwrap();
    let again = world.send("m2", Some(id), "a few");
    assert_eq!(again["result"]["task"]["status"]["message"]["parts"][0]["text"], "A number, please.");
    let done = world.send("m3", Some(id), "3");
    let task = &done["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
    assert_eq!(
        task["artifacts"][0]["parts"][0]["text"],
        "3 days in Lisbon: GET http://world/weather/Lisbon, GET http://world/hotels/Lisbon, booked 200"
    );
    assert_eq!(task["history"].as_array().unwrap().len(), 5, "{task}");
    assert_eq!(world.http.requests(), 3);
    let key = world.http.seen.lock().unwrap()[2].header("idempotency-key").unwrap().to_owned();
    assert!(key.starts_with(&format!("{id}.")), "{key}");
}

#[test]
fn a_message_counts_once_however_often_it_is_sent() {
    let world = World::new();
    let first = world.send("m1", None, "Lisbon");
    let id = first["result"]["task"]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.send("m1", None, "Lisbon")["result"], first["result"]);
    assert_eq!(world.send("m1", None, "Porto")["error"]["code"], -32042);
    let done = world.send("m2", Some(&id), "3");
    assert_eq!(done["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(world.send("m2", Some(&id), "3")["result"], done["result"]);
    assert_eq!(world.send("m2", Some(&id), "4")["error"]["code"], -32042);
    assert_eq!(world.send("m3", Some(&id), "5")["error"]["code"], -32004);
    assert_eq!(world.http.requests(), 3);
}

#[test]
fn both_bindings_stream_the_same_events_each_with_its_place() {
    let world = World::new();
    let rpc = world.call("ada", "SendStreamingMessage", &message("m1", None, "Lisbon"));
    let events = sse(&rpc);
    let states: Vec<_> = events.iter().map(|(_, data)| state(&data["result"])).collect();
    assert_eq!(states, ["SUBMITTED", "WORKING", "WORKING", "INPUT_REQUIRED"]);
    let ids: Vec<_> = events.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    let other = World::new();
    let request = Request::post("/agents/trips/a2a/rest/message:stream").header("content-type", "application/json");
    let rest = other.handle("ada", request, message("m1", None, "Lisbon").to_string());
    let rest = sse(std::str::from_utf8(rest.body()).unwrap());
    let strip = |mut value: Value| {
        times(&mut value);
        value
    };
    let rpc: Vec<Value> = events.into_iter().map(|(_, data)| strip(data["result"].clone())).collect();
    let rest: Vec<Value> = rest.into_iter().map(|(_, data)| strip(data)).collect();
    assert_eq!(rpc, rest);
}

#[test]
fn a_stream_that_was_cut_is_taken_up_where_it_was() {
    let world = World::new();
    let asked = world.send("m1", None, "Lisbon");
    let id = asked["result"]["task"]["id"].as_str().unwrap().to_owned();
    let answered = world.call("ada", "SendStreamingMessage", &message("m2", Some(&id), "3"));
    let whole = sse(&answered);
    assert_eq!(state(&whole.last().unwrap().1["result"]), "COMPLETED");
    for cut in 0..whole.len() {
        let request = Request::get(format!("/agents/trips/a2a/rest/tasks/{id}:subscribe"));
        let rest = world.handle("ada", request.header("last-event-id", &whole[cut].0), "");
        let rest = sse(std::str::from_utf8(rest.body()).unwrap());
        let after: Vec<_> = rest[1..].iter().map(|(id, data)| (id.clone(), data.clone())).collect();
        let expected: Vec<_> = whole[cut + 1..].iter().map(|(id, data)| (id.clone(), data["result"].clone())).collect();
        assert_eq!(after, expected, "cut after {cut}");
    }
    let late = world.call("ada", "SubscribeToTask", &json!({ "id": id }));
    assert_eq!(serde_json::from_str::<Value>(&late).unwrap()["error"]["code"], -32004);
}

#[test]
fn another_user_finds_nothing_of_a_task() {
    let world = World::new();
    let asked = world.send("m1", None, "Lisbon");
    let id = asked["result"]["task"]["id"].as_str().unwrap();
    let context = asked["result"]["task"]["contextId"].as_str().unwrap();
    let operations = [
        ("GetTask", json!({ "id": id })),
        ("CancelTask", json!({ "id": id })),
        ("SubscribeToTask", json!({ "id": id })),
        ("SendMessage", message("m9", Some(id), "3")),
    ];
    let unknown = "run_00000000000000000000000000";
    for (method, params) in operations {
        let answer = world.call("bob", method, &params);
        let of_none =
            world.call("bob", method, &serde_json::from_str(&params.to_string().replace(id, unknown)).unwrap());
        assert_eq!(answer.replace(id, unknown), of_none, "{method}");
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["error"]["code"], -32001, "{method}: {answer}");
    }
    let listed = world.json("bob", "ListTasks", &json!({ "contextId": context }));
    assert_eq!(listed["result"]["totalSize"], 0);
    // The same message of another user begins a task of their own.
    let own = serde_json::from_str::<Value>(&world.call("bob", "SendMessage", &message("m1", None, "Lisbon"))).unwrap();
    assert_ne!(own["result"]["task"]["id"], id);
    assert_eq!(world.json("ada", "ListTasks", &json!({}))["result"]["totalSize"], 1);
}

#[test]
fn who_shows_no_key_is_not_answered() {
    let world = World::new();
    let request = Request::post("/agents/trips/a2a/jsonrpc").header("a2a-version", "1.0");
    let refused = world.app().handle_request(request.body(Bytes::new()).unwrap()).now_or_never().unwrap();
    assert_eq!(refused.status(), 401);
    let card = Request::get("/agents/trips/.well-known/agent-card.json").body(Bytes::new()).unwrap();
    let card = world.app().handle_request(card).now_or_never().unwrap();
    assert_eq!(card.status(), 200);
    let card: Value = serde_json::from_slice(card.body()).unwrap();
    assert_eq!(card["supportedInterfaces"][0]["url"], "https://trips.example/agents/trips/a2a/jsonrpc");
    assert!(card["securitySchemes"]["bearer"].is_object());
}

#[test]
fn a_list_is_paged_and_filtered() {
    let world = World::new();
    for n in 0..5 {
        world.clock.fetch_add(1_000, Ordering::Relaxed);
        world.send(&format!("m{n}"), None, if n == 2 { "nowhere" } else { "Lisbon" });
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = world.json("ada", "ListTasks", &json!({ "pageSize": 2, "pageToken": token }));
        let page = &page["result"];
        assert_eq!((&page["totalSize"], &page["pageSize"]), (&json!(5), &json!(2)));
        seen.extend(page["tasks"].as_array().unwrap().iter().map(|task| task["status"]["timestamp"].clone()));
        assert!(page["tasks"][0].get("artifacts").is_none());
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    let mut sorted: Vec<_> = seen.iter().map(|at| at.as_str().unwrap().to_owned()).collect();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!(seen, sorted);
    assert_eq!(seen.len(), 5);
    let rejected = world.json("ada", "ListTasks", &json!({ "status": "TASK_STATE_REJECTED" }));
    assert_eq!(rejected["result"]["totalSize"], 1);
    assert_eq!(world.json("ada", "ListTasks", &json!({ "pageToken": "not a token" }))["error"]["code"], -32602);
}

#[test]
fn a_task_that_waits_is_cancelled_and_one_that_has_ended_is_not() {
    let world = World::new();
    let asked = world.send("m1", None, "Lisbon");
    let id = asked["result"]["task"]["id"].as_str().unwrap();
    let cancelled = world.json("ada", "CancelTask", &json!({ "id": id }));
    assert_eq!(cancelled["result"]["status"]["state"], "TASK_STATE_CANCELED", "{cancelled}");
    assert_eq!(world.json("ada", "CancelTask", &json!({ "id": id }))["error"]["code"], -32002);
    assert_eq!(world.send("m2", Some(id), "3")["error"]["code"], -32004);
}

#[test]
fn an_agent_declines_and_fails_in_its_own_words() {
    let world = World::new();
    let rejected = world.send("m1", None, "nowhere");
    assert_eq!(rejected["result"]["task"]["status"]["state"], "TASK_STATE_REJECTED");
    let failed = world.send("m2", None, "broken");
    assert_eq!(failed["result"]["task"]["status"]["state"], "TASK_STATE_FAILED");
    assert_eq!(failed["result"]["task"]["status"]["message"]["parts"][0]["text"], "the map is lost");
}

#[test]
fn a_request_that_dies_before_its_effects_are_kept_is_taken_over_under_the_same_keys() {
    let world = World::new();
    let asked = world.send("m1", None, "Lisbon");
    let id = asked["result"]["task"]["id"].as_str().unwrap().to_owned();
    // The booking never comes back: the host kills the request there.
    world.http.hang_at.store(2, Ordering::Relaxed);
    let app = world.app();
    let dies = app.handle_request(world.rpc("ada", "SendMessage", &message("m2", Some(&id), "3"))).now_or_never();
    assert!(dies.is_none(), "the request waits for the booking");
    let first = world.http.seen.lock().unwrap()[2].header("idempotency-key").unwrap().to_owned();
    world.http.hang_at.store(usize::MAX, Ordering::Relaxed);
    // As long as it may still be alive, the task is shown as it is.
    let early = world.send("m2", Some(&id), "3");
    assert_eq!(early["result"]["task"]["status"]["state"], "TASK_STATE_WORKING", "{early}");
    world.clock.fetch_add(LEASE_MS, Ordering::Relaxed);
    let done = world.send("m2", Some(&id), "3");
    assert_eq!(done["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
    let seen = world.http.seen.lock().unwrap();
    let posts: Vec<_> = seen.iter().filter(|request| request.method == "POST").collect();
    assert_eq!(posts.len(), 2);
    assert!(posts.iter().all(|post| post.header("idempotency-key") == Some(first.as_str())));
}

#[test]
fn of_two_answers_at_once_one_counts() {
    let world = World::new();
    let asked = world.send("m1", None, "Lisbon");
    let id = asked["result"]["task"]["id"].as_str().unwrap().to_owned();
    // While the first one is about to keep its answer, the second one comes and goes.
    let hook = Arc::clone(&world.tasks);
    let second = world.rpc("ada", "SendMessage", &message("m3", Some(&id), "5"));
    let app = world.app();
    *hook.before_save.lock().unwrap() = Some(Box::new(move || {
        let answered = app.handle_request(second).now_or_never().unwrap();
        let answered: Value = serde_json::from_slice(answered.body()).unwrap();
        assert_eq!(answered["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{answered}");
    }));
    let first = world.send("m2", Some(&id), "3");
    assert_eq!(first["error"]["code"], -32004, "{first}");
    let task = world.json("ada", "GetTask", &json!({ "id": id }));
    assert!(task["result"]["artifacts"][0]["parts"][0]["text"].as_str().unwrap().starts_with("5 days"), "{task}");
    let posts = world.http.seen.lock().unwrap().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts, 1);
}

#[test]
fn what_is_too_large_or_nowhere_is_refused_and_says_so() {
    let world = World::new();
    let large = world.send("m1", None, &"x".repeat(MAX_REQUEST_BYTES));
    assert_eq!(large["error"]["code"], -32044);
    let nowhere = world.handle("ada", Request::get("/agents/other/a2a/rest/tasks"), "");
    assert_eq!(nowhere.status(), 404);
    assert!(String::from_utf8_lossy(nowhere.body()).contains("/agents/trips/.well-known/agent-card.json"));
    let image = json!({ "message": { "messageId": "m2", "role": "ROLE_USER", "parts": [{ "raw": "AAAA", "mediaType": "image/png" }] } });
    assert_eq!(world.json("ada", "SendMessage", &image)["error"]["code"], -32005);
    assert_eq!(world.json("ada", "GetExtendedAgentCard", &json!({}))["error"]["code"], -32004);
}

// ---- helpers ----

/// A store of tasks that lets a test come in between.
#[derive(Default)]
struct Tasks {
    kept: InMemoryTaskManager,
    before_save: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[async_trait]
impl TaskManager for Tasks {
    async fn load(&self, auth_ctx: &AuthContext, id: &str) -> AgentResult<Option<TaskRecord>> {
        self.kept.load(auth_ctx, id).await
    }

    async fn save(&self, auth_ctx: &AuthContext, record: &TaskRecord) -> AgentResult<Saved> {
        let hook = self.before_save.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.kept.save(auth_ctx, record).await
    }

    async fn list(&self, auth_ctx: &AuthContext, limit: usize) -> AgentResult<Vec<TaskRecord>> {
        self.kept.list(auth_ctx, limit).await
    }
}

/// Another service: says what it was asked.
struct Http {
    seen: Mutex<Vec<HttpRequest>>,
    hang_at: AtomicUsize,
}

impl Http {
    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

#[async_trait]
impl HttpService for Http {
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse> {
        let body = format!("{} {}", request.method, request.url).into();
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        if number == self.hang_at.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(HttpResponse { status: 200, headers: Vec::new(), body })
    }
}

struct World {
    tasks: Arc<Tasks>,
    http: Arc<Http>,
    base: InMemoryRuntime,
    clock: Arc<AtomicU64>,
}

/// The services of a world, with a clock that stands still until it is moved.
struct Clocked {
    base: InMemoryRuntime,
    clock: Arc<AtomicU64>,
}

impl Runtime for Clocked {
    fn auth_service(&self) -> Arc<dyn bivouac::AuthService> {
        self.base.auth_service()
    }
    fn memory_service(&self) -> Arc<dyn MemoryService> {
        self.base.memory_service()
    }
    fn task_manager(&self) -> Arc<dyn TaskManager> {
        self.base.task_manager()
    }
    fn http_service(&self) -> Arc<dyn HttpService> {
        self.base.http_service()
    }
    fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }
}

impl World {
    fn new() -> Self {
        let tasks = Arc::<Tasks>::default();
        let http = Arc::new(Http { seen: Mutex::default(), hang_at: AtomicUsize::new(usize::MAX) });
        let keys = KeyAuthService::new()
            .key("key-of-ada", AuthContext::new("app", "ada"))
            .key("key-of-bob", AuthContext::new("app", "bob"));
        let base = InMemoryRuntime::new()
            .with_auth_service(Arc::new(keys))
            .with_task_manager(Arc::clone(&tasks) as Arc<dyn TaskManager>)
            .with_http_service(Arc::clone(&http) as Arc<dyn HttpService>);
        Self { tasks, http, base, clock: Arc::new(AtomicU64::new(1_800_000_000_000)) }
    }

    /// The agents as a fresh process has them.
    fn app(&self) -> Standalone {
        let runtime = Clocked { base: self.base.clone(), clock: Arc::clone(&self.clock) };
        Standalone::new(agents(), Arc::new(runtime)).at("https://trips.example")
    }

    fn handle(&self, user: &str, request: http::request::Builder, body: impl Into<Bytes>) -> Response<Bytes> {
        let request = request.header("a2a-version", "1.0").header("authorization", format!("Bearer key-of-{user}"));
        let request = request.body(body.into()).unwrap();
        self.app().handle_request(request).now_or_never().expect("nothing here waits")
    }

    fn rpc(&self, user: &str, method: &str, params: &Value) -> Request<Bytes> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        Request::post("/agents/trips/a2a/jsonrpc")
            .header("content-type", "application/json")
            .header("a2a-version", "1.0")
            .header("authorization", format!("Bearer key-of-{user}"))
            .body(body.into())
            .unwrap()
    }

    fn call(&self, user: &str, method: &str, params: &Value) -> String {
        let response = self.app().handle_request(self.rpc(user, method, params)).now_or_never();
        String::from_utf8(response.expect("nothing here waits").body().to_vec()).unwrap()
    }

    fn json(&self, user: &str, method: &str, params: &Value) -> Value {
        serde_json::from_str(&self.call(user, method, params)).unwrap()
    }

    fn send(&self, id: &str, task: Option<&str>, text: &str) -> Value {
        self.json("ada", "SendMessage", &message(id, task, text))
    }
}

fn message(id: &str, task: Option<&str>, text: &str) -> Value {
    let mut message = json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": text }] });
    if let Some(task) = task {
        message["taskId"] = json!(task);
    }
    json!({ "message": message })
}

/// The ids and data of a stream's events.
fn sse(body: &str) -> Vec<(String, Value)> {
    body.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            (field("id: ").to_owned(), serde_json::from_str(field("data: ")).unwrap())
        })
        .collect()
}

fn state(event: &Value) -> String {
    let status = [&event["task"], &event["statusUpdate"]].into_iter().find(|of| of.is_object());
    let state = status.map_or("", |of| of["status"]["state"].as_str().unwrap_or_default());
    state.trim_start_matches("TASK_STATE_").to_owned()
}

/// Takes out what two runs of one conversation may differ in.
fn times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("timestamp");
            members.values_mut().for_each(times);
        }
        Value::Array(items) => items.iter_mut().for_each(times),
        _ => {}
    }
}

#[test]
fn a_key_service_is_asked_with_the_whole_head() {
    struct Sees(Mutex<Option<RequestHead>>);
    #[async_trait]
    impl bivouac::AuthService for Sees {
        async fn authenticate(&self, request: &RequestHead) -> AgentResult<AuthContext> {
            *self.0.lock().unwrap() = Some(request.clone());
            Ok(AuthContext::new("app", "ada"))
        }
    }
    let sees = Arc::new(Sees(Mutex::default()));
    let runtime = InMemoryRuntime::new().with_auth_service(Arc::clone(&sees) as Arc<dyn bivouac::AuthService>);
    let request =
        Request::get("/agents/trips/a2a/rest/tasks?pageSize=3").header("x-own", "1").header("a2a-version", "1.0");
    let response = Standalone::new(agents(), Arc::new(runtime))
        .handle_request(request.body(Bytes::new()).unwrap())
        .now_or_never()
        .unwrap();
    assert_eq!(response.status(), 200);
    let head = sees.0.lock().unwrap().clone().unwrap();
    assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/agents/trips/a2a/rest/tasks?pageSize=3"));
    assert_eq!(head.header("X-Own"), Some("1"));
}
