//! Programs as JSON, and the workflow that interprets them.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{future::Future, pin::Pin};

/// A program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// Where requests go, such as `http://127.0.0.1:8080`.
    pub service: String,
    /// What is done, one after the other.
    pub body: Vec<Instruction>,
    /// Whether the output shows what was drawn by chance, which differs between runs.
    #[serde(default)]
    pub show_chance: bool,
}

/// One thing that a program does. Each gives a value, and the program's output is the list of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are called like what they do on the context")]
pub enum Instruction {
    Step {
        name: String,
        body: Vec<Self>,
    },
    Join {
        a: Vec<Self>,
        b: Vec<Self>,
    },
    JoinAll {
        branches: Vec<Vec<Self>>,
    },
    Select {
        a: Vec<Self>,
        b: Vec<Self>,
    },
    SelectAll {
        branches: Vec<Vec<Self>>,
    },
    /// Spawns a task; awaits it at once or leaves it to the end of the scope's owner.
    Spawn {
        body: Vec<Self>,
        awaited: bool,
    },
    Timeout {
        ms: u64,
        body: Vec<Self>,
    },
    /// Goes on after an error, whose code becomes the value.
    Try {
        body: Vec<Self>,
    },
    Sleep {
        ms: u64,
    },
    Http {
        method: String,
        path: String,
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        key: Option<String>,
    },
    MemorySave {
        name: String,
        value: Value,
        detached: bool,
    },
    MemoryLoad {
        name: String,
    },
    MemoryDelete {
        name: String,
    },
    MemoryList {
        prefix: String,
    },
    /// Fails in all attempts up to this one.
    Fail {
        code: String,
        retryable: bool,
        up_to_attempt: u32,
    },
    Emit {
        name: String,
        data: Value,
    },
    Log {
        message: String,
    },
    /// Asks for a text, an approval, one of two options, or any of them.
    Ask {
        text: String,
        kind: Answer,
        #[serde(default)]
        name: Option<String>,
    },
    Random,
    Uuid,
    Now,
    Patched,
}

/// What kind of answer is asked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are called like what the SDK calls them")]
pub enum Answer {
    Text,
    Approval,
    Select,
    Multiselect,
}

/// What there is to choose from.
pub const OPTIONS: [(&str, &str); 2] = [("lake", "At the lake"), ("peak", "Near the \u{26f0} peak")];

/// Interprets a program.
///
/// # Errors
/// Whatever the program lets fail.
#[bivouac::workflow(retries(max_attempts = 4, initial_interval_ms = 1, max_interval_ms = 5))]
pub async fn program(ctx: &Context, program: Program) -> Result<Vec<Value>, Error> {
    let body = program.body.clone();
    interpret(ctx, &program, &body).await
}

type Values<'a> = Pin<Box<dyn Future<Output = Result<Vec<Value>, Error>> + Send + 'a>>;

fn interpret<'a>(ctx: &'a Context, program: &'a Program, body: &'a [Instruction]) -> Values<'a> {
    Box::pin(async move {
        let mut values = Vec::with_capacity(body.len());
        let mut last_ms = 0;
        for instruction in body {
            let value = if is_group(instruction) {
                group(ctx, program, instruction).await?
            } else {
                single(ctx, program, instruction).await?
            };
            if ctx.now_ms() < last_ms {
                return Err(Error::terminal("CLOCK_WENT_BACK", "the time of a turn is earlier than of one before"));
            }
            last_ms = ctx.now_ms();
            values.push(value);
        }
        Ok(values)
    })
}

fn is_group(instruction: &Instruction) -> bool {
    use Instruction::{Join, JoinAll, Select, SelectAll, Spawn, Step, Timeout, Try};
    matches!(
        instruction,
        Step { .. }
            | Join { .. }
            | JoinAll { .. }
            | Select { .. }
            | SelectAll { .. }
            | Spawn { .. }
            | Timeout { .. }
            | Try { .. }
    )
}

/// What contains other instructions.
async fn group(ctx: &Context, program: &Program, instruction: &Instruction) -> Result<Value, Error> {
    let go = |body| interpret(ctx, program, body);
    Ok(match instruction {
        Instruction::Step { name, body } => json!(ctx.step(name, go(body)).await?),
        Instruction::Join { a, b } => {
            let (a, b) = ctx.join(go(a), go(b)).await;
            json!([a?, b?])
        }
        Instruction::JoinAll { branches } => {
            let all = ctx.join_all(branches.iter().map(|body| go(body))).await;
            json!(all.into_iter().collect::<Result<Vec<_>, _>>()?)
        }
        Instruction::Select { a, b } => match ctx.select(go(a), go(b)).await {
            Either::Left(values) => json!({ "left": values? }),
            Either::Right(values) => json!({ "right": values? }),
        },
        Instruction::SelectAll { branches } if branches.is_empty() => Value::Null,
        Instruction::SelectAll { branches } => {
            let (winner, values) = ctx.select_all(branches.iter().map(|body| go(body))).await;
            json!({ "winner": winner, "values": values? })
        }
        Instruction::Spawn { body, awaited } => {
            let (program, body) = (program.clone(), body.clone());
            let task = ctx.spawn(|ctx| async move { interpret(&ctx, &program, &body).await });
            if *awaited { json!(task.await?) } else { json!("spawned") }
        }
        Instruction::Timeout { ms, body } => json!(ctx.timeout(Duration::from_millis(*ms), go(body)).await??),
        Instruction::Try { body } => match go(body).await {
            Ok(values) => json!(values),
            Err(error) => json!({ "error": error.code() }),
        },
        _ => Value::Null,
    })
}

/// What contains nothing else.
async fn single(ctx: &Context, program: &Program, instruction: &Instruction) -> Result<Value, Error> {
    let memory = ctx.memory();
    let chance = |drawn: Value| if program.show_chance { drawn } else { json!("drawn") };
    Ok(match instruction {
        Instruction::Sleep { ms } => json!(ctx.sleep(Duration::from_millis(*ms)).await?),
        Instruction::Http { method, path, body, key } => {
            let mut request = ctx.http().request(method, format!("{}{path}", program.service));
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.key(key);
            }
            let reply = request.send().await?;
            let status = reply.status();
            json!({ "status": status, "body": reply.error_for_status()?.text()? })
        }
        Instruction::MemorySave { name, value, detached: true } => json!(memory.save(name, value).detach()?),
        Instruction::MemorySave { name, value, detached: false } => json!(memory.save(name, value).await?),
        Instruction::MemoryLoad { name } => json!(memory.load::<Value>(name).await?),
        Instruction::MemoryDelete { name } => json!(memory.delete(name).await?),
        Instruction::MemoryList { prefix } => json!(memory.list(prefix).await?),
        Instruction::Fail { code, retryable, up_to_attempt } if ctx.attempt() <= *up_to_attempt => {
            let message = format!("the program asks for a failure up to attempt {up_to_attempt}");
            return Err(if *retryable { Error::retryable(code, message) } else { Error::terminal(code, message) });
        }
        Instruction::Fail { .. } => json!("passed"),
        Instruction::Emit { name, data } => json!(ctx.emit(name, data)?),
        Instruction::Log { message } => json!(ctx.info(message)),
        Instruction::Ask { text, kind, name } => ask(ctx, text, *kind, name.as_deref()).await?,
        Instruction::Random => chance(json!(ctx.random().number())),
        Instruction::Uuid => chance(json!(ctx.uuid())),
        Instruction::Now => json!(ctx.now_ms() > 0),
        Instruction::Patched => json!(ctx.patched("patched-program")),
        _ => Value::Null,
    })
}

async fn ask(ctx: &Context, text: &str, kind: Answer, name: Option<&str>) -> Result<Value, Error> {
    let question = ctx.ask(text);
    let question = if let Some(name) = name { question.named(name) } else { question };
    Ok(match kind {
        Answer::Text => json!(question.await?),
        Answer::Approval => json!(question.approval().await?),
        Answer::Select => json!(question.select(OPTIONS).await?),
        Answer::Multiselect => json!(question.multiselect(OPTIONS).await?),
    })
}
