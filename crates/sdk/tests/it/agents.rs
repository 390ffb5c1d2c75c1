//! Agents: how a message finds its skill, how turns follow each other, how a task ends.

use bivouac::{
    manifest::{ComponentKind, Manifest, Retries},
    prelude::*,
    protocol::frame::Status,
    testing::{Conversation, Report, Test},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Says what was said,
/// word by word.
///
/// Not part of it.
#[skill(tags = ["words"], examples = ["hi"], input_modes = ["text/plain"])]
struct SayAgain;

#[async_trait]
impl SkillHandler for SayAgain {
    async fn on_request(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let said = content.text();
        runtime.memory_service().save(ctx.auth(), "last", &said).await?;
        task.progress("listening");
        task.artifact(&Artifact::text("notes.txt", &*said));
        let who = format!("{} {} {}", task.skill(), task.context_id(), task.metadata::<u64>("big")?.unwrap_or(0));
        Ok(OnRequestResult::completed(said).with_artifact(Artifact::text("who.txt", who)))
    }
}

#[derive(Serialize, Deserialize)]
enum Slot {
    Name,
    Age { name: String },
}

/// Registers a person.
#[skill(id = "register", name = "Register a person", description = "Asks for name and age.")]
struct Register;

#[async_trait]
impl SkillHandler for Register {
    async fn on_request(
        &self,
        task: &mut TaskContext,
        _ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        task.set("began", &content.text())?;
        Ok(OnRequestResult::input_required("Name?", SkillSlot::new(Slot::Name)))
    }

    async fn on_input_received(
        &self,
        task: &mut TaskContext,
        _ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnInputResult> {
        match task.slot()? {
            Some(Slot::Name) => {
                let slot = SkillSlot::new(Slot::Age { name: content.text() });
                let form = Content::from_text("Age?").with(Part::data(&json!({ "min": 0 }))?);
                Ok(OnInputResult::input_required(form, slot))
            }
            Some(Slot::Age { name }) => {
                let began: Option<String> = task.get("began")?;
                let age: u8 = content.text().parse()?;
                Ok(OnInputResult::completed(format!("{name} is {age} ({})", began.unwrap_or_default())))
            }
            None => Ok(OnInputResult::failed("nothing was asked")),
        }
    }
}

/// Ends as it is told.
#[skill]
struct End;

#[async_trait]
impl SkillHandler for End {
    async fn on_request(
        &self,
        _task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        Ok(match &*content.text() {
            "rejected" => OnRequestResult::rejected("not today"),
            "failed" => OnRequestResult::failed(Content::from_text("broken").with(Part::data(&json!({ "at": 3 }))?)),
            "wordless" => OnRequestResult::failed(Part::data(&json!({ "at": 4 }))?),
            "ask" => OnRequestResult::input_required("What?", SkillSlot::new("what")),
            "silent" => OnRequestResult::Completed { message: None, artifacts: Vec::new() },
            "retry" if ctx.attempt() == 1 => return Err(Error::new("once more")),
            other => OnRequestResult::completed(format!("{other} {}", ctx.attempt())),
        })
    }
}

fn secretary() -> AgentDefinition {
    AgentDefinition::builder("secretary")
        .name("The secretary")
        .description("Writes down.")
        .version("2.0.0")
        .skill(SayAgain)
        .skill(Register)
        .extended_skill(End)
        .route(|content| content.text().starts_with("register").then_some("register"))
        .provider("Bivouac", "https://bivouac.example/")
        .host("a.example")
        .memory()
        .build()
}

fn ending() -> AgentDefinition {
    let retries = Retries { max_attempts: 2, ..Retries::default() };
    AgentDefinition::builder("end").description("Ends.").skill(End).host("a.example").retries(retries).build()
}

#[bivouac::module]
fn configure_agents() -> Vec<AgentDefinition> {
    vec![secretary(), ending()]
}

fn task(text: &str) -> Report {
    Test::agent(ending, "end").message(text).run()
}

#[test]
fn a_module_of_agents_describes_them_and_what_all_of_them_ask_for() {
    use bivouac::protocol::Guest as _;
    let manifest: Manifest = serde_json::from_slice(&guest().configure()).unwrap();
    let [secretary, end] = &manifest.components[..] else { panic!("two agents: {manifest:?}") };
    assert_eq!((secretary.kind, secretary.name.as_str()), (ComponentKind::Agent, "secretary"));
    assert_eq!(secretary.description.as_deref(), Some("Writes down."));
    let card = secretary.agent.as_ref().unwrap();
    assert_eq!((card.title.as_str(), card.version.as_str(), card.extended), ("The secretary", "2.0.0", true));
    assert_eq!(card.provider.as_ref().unwrap().organization, "Bivouac");
    assert_eq!(card.input_modes, ["text/plain", "application/json"]);
    let skills: Vec<_> = card.skills.iter().map(|skill| (&*skill.id, &*skill.name, skill.extended)).collect();
    let expected = [("say_again", "Say again", false), ("register", "Register a person", false), ("end", "End", true)];
    assert_eq!(skills, expected);
    assert_eq!(card.skills[0].description, "Says what was said, word by word.");
    assert_eq!(
        (&card.skills[0].tags[..], &card.skills[0].input_modes[..]),
        (&["words".into()][..], &["text/plain".into()][..])
    );
    assert_eq!(card.skills[1].description, "Asks for name and age.");
    assert_eq!(
        (end.agent.as_ref().unwrap().title.as_str(), end.flow_control.retries.unwrap().max_attempts),
        ("end", 2)
    );
    assert_eq!(manifest.capabilities.hosts, ["a.example"]);
    assert!(manifest.capabilities.memory && manifest.ops.contains(&"ask".to_owned()));
}

#[test]
fn a_task_says_makes_and_remembers() {
    let test = Test::agent(secretary, "secretary").message_metadata("skill", "say_again");
    let test = test.message_metadata("big", &9_007_199_254_740_993_u64).metadata("session_id", "s-1");
    let report = test.message("hi there").run();
    assert_eq!(report.message(), Some("hi there".into()));
    assert_eq!(report.progress(), ["listening".into()]);
    let artifacts = report.artifacts();
    let ids: Vec<_> = artifacts.iter().map(Artifact::id).collect();
    assert_eq!(ids, ["notes.txt", "who.txt"]);
    assert_eq!(artifacts[1].parts()[0].as_text(), Some("say_again s-1 9007199254740993"));
    assert_eq!(report.memory::<String>("last").as_deref(), Some("hi there"));
}

#[test]
fn input_is_asked_for_turn_by_turn_in_one_run() {
    let mut talk = Conversation::with(secretary, "secretary");
    assert_eq!(talk.say("register me").text(), "Name?");
    let reply = talk.say("Ada");
    let question = reply.question().unwrap();
    assert_eq!(question.text, "Age?");
    assert!(question.content.as_ref().unwrap().text().contains(r#"{"data":{"min":0}}"#), "{question:?}");
    let reply = talk.say("36");
    assert!(reply.is_completed());
    assert_eq!(reply.text(), "Ada is 36 (register me)");
    assert_eq!(reply.report().attempts(), 1);
}

#[test]
fn a_message_that_no_skill_is_found_for_lets_the_user_choose() {
    let mut talk = Conversation::with(secretary, "secretary");
    let reply = talk.say("hm");
    let question = reply.question().unwrap();
    assert_eq!(question.name.as_deref(), Some("skill"));
    let offered: Vec<_> = question.options.iter().map(|option| option.id.as_str()).collect();
    assert_eq!(offered, ["say_again", "register"], "what only the extended card shows is not offered");
    let text = "What can I do for you?\n- Say again: Says what was said, word by word.\n- Register a person: Asks for name and age.";
    assert_eq!(question.text, text);
    assert_eq!(talk.say("Say again").text(), "hm");
}

#[test]
fn a_skill_that_is_named_is_taken_and_one_that_is_not_there_is_rejected() {
    let named =
        |skill: &str| Test::agent(secretary, "secretary").message_metadata("skill", skill).message("silent").run();
    assert_eq!((named("end").status(), named("end").message()), (Status::Completed, None));
    let report = named("dance");
    assert_eq!(report.error().code(), "REJECTED");
    assert_eq!(report.error().message(), "the agent `secretary` has no skill `dance`; there are: say_again, register");
}

#[test]
fn a_route_to_nowhere_is_the_authors_fault() {
    fn lost() -> AgentDefinition {
        let builder = AgentDefinition::builder("lost").description("Lost.").skill(End).skill(Register);
        builder.route(|_| Some("nowhere")).build()
    }
    let report = Test::agent(lost, "lost").message("hi").run();
    assert_eq!(report.error().code(), "HANDLER_FAILED");
    assert!(report.error().message().contains("`route`"), "{}", report.error());
}

#[test]
fn a_task_ends_in_each_way() {
    assert_eq!(task("done").message(), Some("done 1".into()));
    assert_eq!(task("rejected").error().to_string(), "REJECTED: not today");
    assert!(!task("rejected").error().is_retryable());
    let failed = task("failed");
    assert_eq!(failed.error().to_string(), "HANDLER_FAILED: broken");
    assert_eq!(failed.progress().len(), 1, "what is more than words goes before the end");
    assert_eq!(task("wordless").error().message(), "the skill gave no reason in words");
    assert_eq!((task("retry").attempts(), task("retry").message()), (2, Some("retry 2".into())));
}

#[test]
fn input_that_nobody_takes_fails_the_task_and_says_so() {
    let report = Test::agent(ending, "end").message("ask").answer("this").run();
    assert_eq!((report.error().code(), report.error().is_retryable()), ("INPUT_NOT_HANDLED", false));
    assert!(report.error().message().contains("the skill `end`"), "{}", report.error());
    assert!(report.error().message().contains("`on_input_received`"), "{}", report.error());
}

#[test]
fn an_input_is_a_message_or_a_text_and_nothing_else() {
    let run = |input: serde_json::Value| Test::agent(ending, "end").input(&input).run();
    assert_eq!(run(json!("bare")).message(), Some("bare 1".into()));
    let strange = json!({ "message_id": "m", "role": 1, "parts": [{ "text": "odd", "data": null }], "unknown": 1 });
    assert_eq!(run(strange).message(), Some("odd 1".into()));
    assert_eq!(run(json!({ "parts": [{ "video": 1 }] })).error().code(), "INVALID_INPUT");
    assert_eq!(run(json!(7)).error().code(), "INVALID_INPUT");
}

fn refusal(describe: impl Fn() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(describe).unwrap_err();
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
}

#[test]
fn what_cannot_be_an_agent_is_refused_when_it_is_described() {
    let agent = || AgentDefinition::builder("a").description("A.");
    let twice = refusal(move || drop(Module::from(vec![ending(), ending()])));
    assert_eq!(twice, "the module offers two agents of the name `end`: rename one of them");
    let twins = refusal(move || drop(agent().skill(End).skill(End).build()));
    assert_eq!(twins, "the agent `a` has two skills of the id `end`: rename one");
    let idle = refusal(move || drop(agent().build()));
    assert_eq!(idle, "the agent `a` has no skill: add one with `.skill(..)`");
    let mute = refusal(|| drop(AgentDefinition::builder("a").skill(End).build()));
    assert!(mute.contains("has no description"), "{mute}");
    let odd = refusal(|| drop(AgentDefinition::builder("a b").description("A.").skill(End).build()));
    assert!(odd.starts_with("the agent's id `a b` cannot be"), "{odd}");
}
