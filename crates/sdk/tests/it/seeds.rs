//! The code of the project's founding pages compiles, as near to the letter as a real type allows.

use bivouac::{
    AgentDefinition, AgentResult, AuthContext, AuthService, Content, Context, DefaultAuthService,
    InMemoryMemoryService, MemoryService, Module, OnRequestResult, Runtime, SkillHandler, TaskContext, async_trait,
    manifest::ComponentKind, skill, testing::Conversation,
};
use std::sync::Arc;

// A custom implementation of MemoryService that writes to a remote database via HTTP.
pub(crate) struct PersistentMemoryService {
    http_client: reqwest::Client,
    database_url: String,
}

#[async_trait]
impl MemoryService for PersistentMemoryService {
    async fn save_serialized(&self, auth_ctx: &AuthContext, key: &str, value: serde_json::Value) -> AgentResult<()> {
        let namespaced_key = format!("{}:{}:{}", auth_ctx.app_name, auth_ctx.user_name, key);

        // Logic to POST the value to the external database API.
        self.http_client
            .post(format!("{}/set", self.database_url))
            .json(&serde_json::json!({ "key": namespaced_key, "value": value }))
            .send()
            .await?;

        Ok(())
    }

    async fn load_serialized(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<serde_json::Value>> {
        let namespaced_key = format!("{}:{}:{}", auth_ctx.app_name, auth_ctx.user_name, key);
        let reply = self.http_client.get(format!("{}/get/{namespaced_key}", self.database_url)).send().await?;
        Ok(if reply.status().is_success() { Some(reply.json().await?) } else { None })
    }

    async fn list(&self, auth_ctx: &AuthContext, prefix: &str) -> AgentResult<Vec<String>> {
        let wanted = format!("{}:{}:{prefix}", auth_ctx.app_name, auth_ctx.user_name);
        Ok(self.http_client.get(format!("{}/list/{wanted}", self.database_url)).send().await?.json().await?)
    }

    async fn delete(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<()> {
        let namespaced_key = format!("{}:{}:{}", auth_ctx.app_name, auth_ctx.user_name, key);
        self.http_client.delete(format!("{}/{namespaced_key}", self.database_url)).send().await?;
        Ok(())
    }
}

pub(crate) struct ServerlessRuntime {
    auth_service: Arc<dyn AuthService>,
    memory_service: Arc<dyn MemoryService>,
}

impl ServerlessRuntime {
    pub(crate) fn new() -> Self {
        Self {
            auth_service: Arc::new(DefaultAuthService::new()),
            memory_service: Arc::new(PersistentMemoryService {
                http_client: reqwest::Client::new(),
                database_url: "http://127.0.0.1:9".to_owned(),
            }),
        }
    }
}

impl Runtime for ServerlessRuntime {
    fn auth_service(&self) -> Arc<dyn AuthService> {
        Arc::clone(&self.auth_service)
    }

    fn memory_service(&self) -> Arc<dyn MemoryService> {
        Arc::clone(&self.memory_service)
    }
}

/// Says hello.
#[skill(id = "hello", name = "Hello")]
struct Hello;

#[async_trait]
impl SkillHandler for Hello {
    async fn on_request(
        &self,
        _task: &mut TaskContext,
        _ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        runtime.logging_service().log(bivouac::LogLevel::Info, "greeting");
        Ok(OnRequestResult::completed(format!("Hello, {}!", content.text())))
    }
}

#[bivouac::module]
pub(crate) fn configure_agent() -> AgentDefinition {
    AgentDefinition::builder("my-agent").description("Greets.").skill(Hello).build()
}

pub(crate) fn configure_agents() -> Vec<AgentDefinition> {
    vec![configure_agent()]
}

#[test]
fn one_agent_or_several_make_the_same_module() {
    let [one, several] = [Module::from(configure_agent()).manifest(), Module::from(configure_agents()).manifest()];
    assert_eq!(one, several);
    assert_eq!((one.components[0].kind, one.components[0].name.as_str()), (ComponentKind::Agent, "my-agent"));
    assert_eq!(guest().module().manifest(), one);
}

#[test]
fn the_agent_answers() {
    let mut talk = Conversation::with(configure_agents, "my-agent");
    let reply = talk.say("Ada");
    assert_eq!(reply.text(), "Hello, Ada!");
    assert_eq!(reply.report().log(), [(bivouac::LogLevel::Info, "greeting")]);
}

#[test]
fn a_runtime_of_the_authors_own_stands_on_its_services() {
    let runtime = Arc::new(ServerlessRuntime::new());
    let memory: Arc<dyn MemoryService> = runtime.memory_service();
    assert!(Arc::ptr_eq(&memory, &runtime.memory_service()));
    // A skill is handed any runtime alike.
    let _skills_see: &dyn Runtime = &*runtime;
    let _in_a_test: Arc<dyn MemoryService> = Arc::new(InMemoryMemoryService::new());
}

/// The serverless entry point of the seed: a request in, a response out, nothing kept but in the runtime's services.
#[cfg(feature = "standalone")]
mod entry_point {
    use super::{Hello, ServerlessRuntime, configure_agents};
    use bivouac::{InMemoryRuntime, Runtime, standalone::Standalone};
    use bytes::Bytes;
    use futures::FutureExt as _;
    use http::{Request, Response};
    use std::sync::Arc;

    async fn handle_request(request: Request<Bytes>, runtime: Arc<dyn Runtime>) -> Response<Bytes> {
        // 1. Instantiate the custom runtime and agent definitions.
        let agents = configure_agents(); // Your existing agent definitions

        // 2. to 5. Parse, find the agent and its skill, execute, answer.
        Standalone::new(agents, runtime).handle_request(request).await
    }

    fn post(text: &str) -> Request<Bytes> {
        let body = format!(r#"{{"message":{{"messageId":"m-1","role":"ROLE_USER","parts":[{{"text":"{text}"}}]}}}}"#);
        let request = Request::post("http://localhost/agents/my-agent/a2a/rest/message:send");
        let request = request.header("content-type", "application/json").header("a2a-version", "1.0");
        request.body(Bytes::from(body)).unwrap()
    }

    #[test]
    fn a_request_of_a2a_is_answered_without_a_server() {
        let response = handle_request(post("Ada"), Arc::new(InMemoryRuntime::new())).now_or_never().unwrap();
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        assert_eq!(response.status(), 200, "{body}");
        assert!(body.contains("Hello, Ada!") && body.contains("TASK_STATE_COMPLETED"), "{body}");
    }

    #[test]
    fn the_seeds_runtime_is_taken_too() {
        let _skill = Hello;
        drop(handle_request(post("Ada"), Arc::new(ServerlessRuntime::new())));
    }
}
