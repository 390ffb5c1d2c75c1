//! What a standalone host does with an agent that fails, sleeps, asks twice, changes or grows.

use bivouac::{
    AgentResult, InMemoryRuntime, InMemoryTaskManager, TaskManager, TimerService,
    manifest::Retries,
    prelude::*,
    services::{HttpRequest, HttpResponse, HttpService},
    standalone::{MAX_TASK_BYTES, Standalone},
};
use bytes::Bytes;
use futures::FutureExt as _;
use http::Request;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Does what the message's text says.
#[skill(id = "obey", name = "Obey", description = "Does as it is told")]
struct Obey {
    /// What the code says; another build says another.
    build: u32,
}

#[async_trait]
impl SkillHandler for Obey {
    async fn on_request(
        &self,
        _task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        match content.text().as_str() {
            "luckless" => {
                let size = ctx
                    .step("once", async {
                        let reply = ctx.http().get("http://large/once").send().await?;
                        Ok::<_, Error>(reply.bytes().len())
                    })
                    .await?;
                let name = ctx.ask("Who are you?").await?;
                if ctx.attempt() < 3 {
                    return Err(Error::retryable("BAD_LUCK", "not this time"));
                }
                Ok(OnRequestResult::completed(format!("{name}, {size} bytes, attempt {}", ctx.attempt())))
            }
            "sleepy" => {
                ctx.sleep(Duration::from_secs(5)).await?;
                Ok(OnRequestResult::completed("awake"))
            }
            "patient" => {
                let reply = ctx.timeout(Duration::from_secs(60), ctx.http().get("http://large/soon").send()).await??;
                Ok(OnRequestResult::completed(reply.status().to_string()))
            }
            "declining" => {
                ctx.memory().save("declined", &true).detach()?;
                Ok(OnRequestResult::rejected("not today"))
            }
            "remembering" => {
                let declined: Option<bool> = ctx.memory().load("declined").await?;
                Ok(OnRequestResult::completed(format!("{declined:?}")))
            }
            "curious" => {
                let (one, two) = ctx
                    .join(ctx.ask("One?").named("one").into_future(), ctx.ask("Two?").named("two").into_future())
                    .await;
                Ok(OnRequestResult::completed(format!("{} and {}", one?, two?)))
            }
            "changing" => {
                if self.build == 1 {
                    ctx.ask("Go on?").approval().await?;
                } else {
                    ctx.sleep(Duration::from_secs(1)).await?;
                }
                Ok(OnRequestResult::completed("went on"))
            }
            "growing" => {
                for n in 0..64 {
                    ctx.http().get(format!("http://large/{n}")).send().await?;
                }
                Ok(OnRequestResult::completed("too much"))
            }
            "secretive" => {
                let request = ctx.http().get("http://vault/door").header("authorization", bearer(secret("KEY")));
                let reply = request.send().await?;
                Ok(OnRequestResult::completed(reply.text()?.to_owned()))
            }
            other => Ok(OnRequestResult::rejected(format!("`{other}` is unheard of"))),
        }
    }
}

fn agents(build: u32) -> AgentDefinition {
    let retries = Retries { max_attempts: 3, ..Retries::default() };
    AgentDefinition::builder("servant").description("Obeys.").skill(Obey { build }).retries(retries).build()
}

#[test]
fn an_attempt_inherits_steps_and_answers_of_those_before_it() {
    let stage = Stage::new();
    let asked = stage.send("m1", None, "luckless");
    assert_eq!(text(&asked), "Who are you?");
    let done = stage.answer(&asked, "m2", "Ada", None);
    assert_eq!(text(&done), "Ada, 65536 bytes, attempt 3", "{done}");
    assert_eq!(stage.seen.lock().unwrap().len(), 1);
    // The waits between attempts are those of the policy.
    assert_eq!(*stage.timer.slept.lock().unwrap(), [1_000, 2_000]);
}

#[test]
fn a_sleep_takes_as_long_as_it_says_and_is_refused_where_nothing_can_wait() {
    let stage = Stage::new();
    assert_eq!(text(&stage.send("m1", None, "sleepy")), "awake");
    let slept = stage.timer.slept.lock().unwrap().iter().sum::<u64>();
    assert!((4_900..=5_000).contains(&slept), "{slept}");
    let mut stage = Stage::new();
    stage.base = InMemoryRuntime::new();
    let failed = stage.send("m1", None, "sleepy");
    assert_eq!(failed["result"]["task"]["status"]["state"], "TASK_STATE_FAILED");
    assert!(text(&failed).contains("timer_service"), "{failed}");
}

#[test]
fn a_deadline_that_nobody_has_to_wait_for_is_none_to_refuse() {
    let stage = Stage::new();
    assert_eq!(text(&stage.send("m1", None, "patient")), "200");
    assert!(stage.timer.slept.lock().unwrap().is_empty());
}

#[test]
fn what_a_declined_task_wrote_is_kept() {
    let stage = Stage::new();
    assert_eq!(text(&stage.send("m1", None, "declining")), "not today");
    assert_eq!(text(&stage.send("m2", None, "remembering")), "Some(true)");
}

#[test]
fn of_several_questions_an_answer_names_its_own() {
    let stage = Stage::new();
    let asked = stage.send("m1", None, "curious");
    let unnamed = stage.answer(&asked, "m2", "1", None);
    assert_eq!(unnamed["error"]["code"], -32602);
    assert!(unnamed["error"]["message"].as_str().unwrap().contains("`one`, `two`"), "{unnamed}");
    let other = stage.answer(&asked, "m3", "2", Some("two"));
    assert_eq!(other["result"]["task"]["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(text(&other), "One?");
    assert_eq!(text(&stage.answer(&asked, "m4", "1", None)), "1 and 2");
}

#[test]
fn a_task_that_other_code_began_is_left_as_it_is() {
    let mut stage = Stage::new();
    let asked = stage.send("m1", None, "changing");
    stage.build = 2;
    let refused = stage.answer(&asked, "m2", "yes", None);
    assert_eq!(refused["error"]["data"][0]["metadata"]["code"], "JOURNAL_MISMATCH", "{refused}");
    stage.build = 1;
    assert_eq!(text(&stage.answer(&asked, "m2", "yes", None)), "went on");
}

#[test]
fn a_task_that_grows_beyond_its_size_fails_and_is_still_shown() {
    let stage = Stage::new();
    let failed = stage.send("m1", None, "growing");
    assert_eq!(failed["result"]["task"]["status"]["state"], "TASK_STATE_FAILED");
    assert!(text(&failed).contains(&MAX_TASK_BYTES.to_string()), "{failed}");
    let id = failed["result"]["task"]["id"].as_str().unwrap();
    let local = AuthContext::new("default", "local");
    let kept = stage.tasks.load(&local, id).now_or_never().unwrap().unwrap().unwrap();
    assert!(kept.data.len() <= MAX_TASK_BYTES + MAX_TASK_BYTES / 8, "{}", kept.data.len());
    assert_eq!(stage.call("GetTask", &json!({ "id": id }))["result"], failed["result"]["task"]);
}

#[test]
fn a_secret_is_sent_where_it_belongs_and_never_comes_back() {
    let stage = Stage::new();
    assert_eq!(text(&stage.send("m1", None, "secretive")), "Bearer [secret KEY]");
    assert_eq!(stage.seen.lock().unwrap()[0].header("authorization"), Some("Bearer open sesame"));
}

// ---- helpers ----

/// Waits by moving the clock.
#[derive(Default)]
struct Timer {
    slept: Mutex<Vec<u64>>,
    ahead: AtomicU32,
}

#[async_trait]
impl TimerService for Timer {
    async fn sleep(&self, duration: Duration) {
        let ms = u32::try_from(duration.as_millis()).unwrap();
        self.slept.lock().unwrap().push(u64::from(ms));
        self.ahead.fetch_add(ms, Ordering::Relaxed);
    }
}

/// Says what it was sent, or very much.
struct Http(Arc<Mutex<Vec<HttpRequest>>>);

#[async_trait]
impl HttpService for Http {
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse> {
        let body = match request.header("authorization") {
            Some(shown) => Bytes::from(shown.to_owned()),
            None => Bytes::from("x".repeat(64 << 10)),
        };
        self.0.lock().unwrap().push(request);
        Ok(HttpResponse { status: 200, headers: Vec::new(), body })
    }
}

struct Stage {
    base: InMemoryRuntime,
    timer: Arc<Timer>,
    tasks: Arc<InMemoryTaskManager>,
    seen: Arc<Mutex<Vec<HttpRequest>>>,
    build: u32,
}

struct Services {
    base: InMemoryRuntime,
    timer: Arc<Timer>,
}

impl Runtime for Services {
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
    fn timer_service(&self) -> Option<Arc<dyn TimerService>> {
        self.base.timer_service()
    }
    fn secret(&self, name: &str, host: &str) -> Option<String> {
        ((name, host) == ("KEY", "vault")).then(|| "open sesame".to_owned())
    }
    fn now_ms(&self) -> u64 {
        1_800_000_000_000 + u64::from(self.timer.ahead.load(Ordering::Relaxed))
    }
}

impl Stage {
    fn new() -> Self {
        let (timer, tasks, seen) = (Arc::<Timer>::default(), Arc::<InMemoryTaskManager>::default(), Arc::default());
        let base = InMemoryRuntime::new()
            .with_task_manager(Arc::clone(&tasks) as Arc<dyn TaskManager>)
            .with_timer_service(Arc::clone(&timer) as Arc<dyn TimerService>)
            .with_http_service(Arc::new(Http(Arc::clone(&seen))));
        Self { base, timer, tasks, seen, build: 1 }
    }

    fn call(&self, method: &str, params: &Value) -> Value {
        let runtime = Services { base: self.base.clone(), timer: Arc::clone(&self.timer) };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = Request::post("/agents/servant/a2a/jsonrpc").header("a2a-version", "1.0");
        let response = Standalone::new(agents(self.build), Arc::new(runtime))
            .handle_request(request.body(body.into()).unwrap())
            .now_or_never()
            .expect("nothing here waits");
        serde_json::from_slice(response.body()).unwrap()
    }

    fn send(&self, id: &str, metadata: Option<Value>, text: &str) -> Value {
        let mut message = json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": text }] });
        for (name, value) in metadata.iter().flat_map(|members| members.as_object().unwrap()) {
            message[name] = value.clone();
        }
        self.call("SendMessage", &json!({ "message": message }))
    }

    fn answer(&self, asked: &Value, id: &str, text: &str, question: Option<&str>) -> Value {
        let mut members = json!({ "taskId": asked["result"]["task"]["id"] });
        if let Some(question) = question {
            members["metadata"] = json!({ "question": question });
        }
        self.send(id, Some(members), text)
    }
}

/// What the task's status says.
fn text(answer: &Value) -> String {
    let text = &answer["result"]["task"]["status"]["message"]["parts"][0]["text"];
    text.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
