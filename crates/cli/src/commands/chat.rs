//! `bivouac chat`: talks A2A with an agent, in a terminal or from a script.
//!
//! A line that is typed is a message. What comes of it is shown while it happens; a question is answered with the next
//! line. The conversation has an id, by which it is taken up again after the command has ended.

use super::json;
use crate::{
    agents::{self, Agent, Stopped, Turn},
    cli::Globals,
    client::Client,
    connection::Connection,
    failure::{Exit, Failure, Result},
    lines,
    output::{self, Style},
    project::Project,
    talk::{Asked, Shown},
};
use bivouac_a2a::{
    Object,
    task::METADATA_QUESTION,
    types::{AgentCard, Message, Part, StreamResponse, TaskState},
};
use bivouac_protocol::Json;
use clap::Args;

/// The most examples of what can be said that are shown.
const EXAMPLES: usize = 3;

/// Talk with an agent
///
/// Every line is a message; progress and artifacts appear while the agent makes them, and what it asks is answered with
/// the next line. Ctrl-C cancels the task that is under way, and leaves where none is. The conversation stays: its id,
/// which is shown when you leave, takes it up again with --context, also while the agent waits for an answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac chat                                   with the project's agent, or the only one there is
  bivouac chat trip-planner
  bivouac chat trip-planner --message 'A weekend in Lisbon'
  bivouac chat trip-planner --context ctx-1      goes on with a conversation
  bivouac chat trip-planner -o json < lines.txt  every event as a line of JSON")]
pub(crate) struct ChatArgs {
    /// The agent [default: `name` in bivouac.toml where that is one, then the only one there is]
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// Say this, and end with the task
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// The conversation to go on with
    #[arg(long, value_name = "ID")]
    context: Option<String>,
    /// The environment [default: `environment` in bivouac.toml, then the key's]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
}

pub(crate) async fn run(args: &ChatArgs, globals: &Globals) -> Result {
    let project = Project::here()?;
    let client = Client::new(Connection::resolve(globals, &project)?)?;
    let environment = args.env.as_deref().or(project.environment.as_deref());
    let name = match &args.agent {
        Some(name) => name.clone(),
        None => usual(&client, environment, project.name.as_deref()).await?,
    };
    let (agent, card) = Agent::find(&client, environment, &name).await?;
    // A person in front of it is talked to, whatever became of stdout.
    let json = json(globals);
    if lines::is_typed() && args.message.is_none() && !json {
        greet(&card, &name);
    }
    let mut chat = Chat {
        agent: &agent,
        shown: Shown::new(json),
        context: args.context.clone(),
        task: None,
        once: args.message.is_some(),
        json,
    };
    let ended = chat.talk(args.message.clone()).await;
    chat.shown.rest();
    ended
}

/// The agent of whoever names none.
async fn usual(client: &Client, environment: Option<&str>, project: Option<&str>) -> Result<String> {
    let names = agents::names(client, environment).await?;
    if let Some(name) = project.filter(|name| names.iter().any(|known| known == name)) {
        return Ok(name.to_owned());
    }
    match &names[..] {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(Exit::NotFound, "there is nobody to talk to")
            .why(format!("no agent is deployed at {}", client.server()))
            .hint("`bivouac dev` in an agent's folder serves it, `bivouac deploy` sends it to a server")),
        several => Err(Failure::usage("which agent?")
            .why(format!("{} has several: {}", client.server(), several.join(", ")))
            .hint(format!("bivouac chat {}", several[0]))),
    }
}

fn greet(card: &AgentCard, name: &str) {
    let style = Style::stderr();
    let title = if card.name.is_empty() { name } else { &card.name };
    output::note(&format!("{}: {}", style.bold(&output::plain(title)), output::plain(&card.description)));
    let examples = card.skills.iter().flat_map(|skill| &skill.examples).take(EXAMPLES);
    for example in examples {
        output::note(&style.dim(&format!("  such as: {}", output::short(example, 100))));
    }
    output::note(&style.dim("Ctrl-C cancels what is under way, or leaves; so does Ctrl-D."));
    output::note("");
}

/// A conversation.
struct Chat<'a> {
    agent: &'a Agent<'a>,
    shown: Shown,
    /// Its id, once there is one.
    context: Option<String>,
    /// The task that waits for an answer.
    task: Option<String>,
    /// Whether it ends with the first task.
    once: bool,
    /// Whether events are printed for a program, which is told the end in words too.
    json: bool,
}

/// What was said next.
enum Said {
    Line(String),
    Nothing,
    Leave,
}

impl Chat<'_> {
    async fn talk(&mut self, mut first: Option<String>) -> Result {
        let mut ended = None;
        self.take_up().await?;
        loop {
            let said = match first.take() {
                Some(text) => Said::Line(text),
                None => self.next().await?,
            };
            match said {
                Said::Line(line) if line.trim().is_empty() => {}
                Said::Line(line) => {
                    let stopped = self.turn(&line).await?;
                    ended = Some(stopped);
                    if self.once && self.shown.question.is_none() {
                        return self.end(ended.as_ref());
                    }
                }
                Said::Nothing => return self.end(ended.as_ref()),
                Said::Leave => {
                    output::note("");
                    self.tell_way_back();
                    return Ok(());
                }
            }
        }
    }

    /// Shows what a conversation that is gone on with waits for.
    async fn take_up(&mut self) -> Result {
        let Some(context) = &self.context else { return Ok(()) };
        if let Some(task) = self.agent.asking(context).await? {
            self.task = Some(task.id.clone());
            let event = StreamResponse::Task(task);
            let text = serde_json::to_string(&event).unwrap_or_default();
            self.shown.event(&event, &text)?;
        }
        Ok(())
    }

    async fn next(&self) -> Result<Said> {
        let style = Style::stderr();
        let prompt = style.bold(self.shown.question.as_ref().map_or("you> ", Asked::prompt));
        tokio::select! {
            line = lines::next(&prompt) => match line {
                Ok(Some(line)) => Ok(Said::Line(line)),
                Ok(None) => Ok(if lines::is_typed() { Said::Leave } else { Said::Nothing }),
                Err(error) => Err(Failure::usage("what was typed cannot be read").why(error.to_string())),
            },
            _ = tokio::signal::ctrl_c() => Ok(Said::Leave),
        }
    }

    /// Says something, and shows what comes of it.
    async fn turn(&mut self, text: &str) -> Result<Stopped> {
        let asked = self.shown.question.as_ref();
        let text = asked.map_or_else(|| text.to_owned(), |asked| asked.answer(text));
        let mut message = Message::user(message_id()?, vec![Part::text(text)]);
        if let Some(name) = asked.and_then(|asked| asked.name.as_ref()) {
            let name = Json::of(name)
                .map_err(|error| Failure::failed("the answer cannot be written").why(error.to_string()))?;
            message.metadata = Some(Object::of_members([(METADATA_QUESTION, name)]));
        }
        message.context_id.clone_from(&self.context);
        message.task_id = self.task.take();
        let agent = self.agent;
        self.shown.wait(&agent.name);
        let mut turn = Turn::new(agent, message);
        let mut cancelled = false;
        let stopped = loop {
            let shown = &mut self.shown;
            tokio::select! {
                stopped = turn.follow(|event, text| shown.event(event, text)) => break stopped,
                _ = tokio::signal::ctrl_c() => {
                    self.context = turn.context.clone();
                    let task = turn.task.clone().filter(|_| !cancelled);
                    let Some(task) = task else {
                        self.shown.rest();
                        output::note(if cancelled { "\nLeft before the task had ended." } else { "\nLeft." });
                        self.tell_way_back();
                        return Err(Failure::silent(Exit::Interrupted));
                    };
                    cancelled = true;
                    output::note("\nCancelling the task (Ctrl-C again leaves).");
                    agent.cancel(&task).await?;
                }
            }
        };
        self.shown.rest();
        self.context = turn.context.clone();
        let stopped = stopped?;
        if matches!(stopped, Stopped::At(state) if state.is_interrupted()) {
            self.task = turn.task;
        }
        Ok(stopped)
    }

    /// How it ends for a script: with the last task's end.
    fn end(&self, last: Option<&Stopped>) -> Result {
        let failed = |what: &str| {
            if !self.json {
                // It was shown when it happened.
                return Err(Failure::silent(Exit::Failed));
            }
            let failure = Failure::failed(format!("the task {what}"));
            Err(if self.shown.last.is_empty() { failure } else { failure.why(self.shown.last.clone()) })
        };
        match last {
            Some(Stopped::At(TaskState::Failed)) => failed("failed"),
            Some(Stopped::At(TaskState::Rejected)) => failed("was rejected"),
            Some(Stopped::At(TaskState::Canceled)) => failed("was cancelled"),
            Some(Stopped::At(state)) if state.is_interrupted() => Err(Failure::failed("the agent waits for an answer")
                .why(self.shown.last.clone())
                .hint(format!("{} --message ANSWER", self.way_back().unwrap_or_default()))),
            _ => Ok(()),
        }
    }

    fn way_back(&self) -> Option<String> {
        let context = self.context.as_ref()?;
        Some(format!("bivouac chat {} --context {}", output::plain(&self.agent.name), output::plain(context)))
    }

    fn tell_way_back(&self) {
        if let Some(way) = self.way_back() {
            output::note(&format!("Go on with it: {way}"));
        }
    }
}

fn message_id() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::failed("the message was not sent").why(format!("no randomness: {error}")))?;
    Ok(format!("cli-{}", hex::encode(random)))
}
