//! Scopes: where effects start, and the counters that their paths and keys are made of.
//!
//! A scope is the root, a spawned task, a branch of a combinator, or a step's body. It counts what starts in it, at
//! first poll, and has at most one thing open. Its path is valid within one attempt; its key is the same in every
//! attempt. Source: the guest contract, "Scopes and paths".

use super::lock;
use bivouac_protocol::key::{Digest, escape};
use rand_chacha::ChaCha20Rng;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

/// Where things start.
pub(crate) struct Scope {
    pub(crate) id: u32,
    pub(crate) kind: ScopeKind,
    /// What paths in it begin with, without the slash; empty for the root.
    path: Box<str>,
    /// What keys in it begin with, without the slash and the generation; empty for the root.
    key: Box<str>,
    /// Whose end waits for tasks spawned here; `None` for the attempt itself.
    pub(crate) owner: Option<Arc<TaskOwner>>,
    counters: Mutex<Counters>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    Root,
    Task,
    Branch,
    Step,
}

/// What a scope waits for; at most one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Effect(&'static str),
    Step(Arc<str>),
    Group(&'static str),
}

/// Numbers by text; one type for all such maps, because each costs a module several kilobytes.
pub(super) type Counts = BTreeMap<Box<str>, u64>;

#[derive(Default)]
struct Counters {
    /// Everything that started here.
    items: u32,
    /// Combinators and spawned tasks that started here: a repeated effect before a combinator must not shift the keys
    /// behind it in the next attempt.
    groups: u32,
    open: Option<(u32, Opening)>,
    digests: Counts,
    names: Counts,
    random: Option<Box<ChaCha20Rng>>,
}

impl Counters {
    fn open(&mut self, what: Opening) -> Result<u32, Opening> {
        if let Some((_, open)) = &self.open {
            return Err(open.clone());
        }
        self.items += 1;
        self.open = Some((self.items, what));
        Ok(self.items)
    }
}

/// A combinator or spawned task that started in a scope.
pub(crate) struct Group {
    pub(crate) item: u32,
    number: u32,
}

impl Scope {
    pub(crate) fn root() -> Arc<Self> {
        Arc::new(Self {
            id: 0,
            kind: ScopeKind::Root,
            path: "".into(),
            key: "".into(),
            owner: None,
            counters: Mutex::default(),
        })
    }

    /// The scope of branch `branch` (from 1) of a combinator or spawned task.
    pub(crate) fn branch(&self, id: u32, kind: ScopeKind, group: &Group, branch: u32) -> Arc<Self> {
        Arc::new(Self {
            id,
            kind,
            path: within(&self.path, format_args!("{}:{branch}", group.item)),
            key: within(&self.key, format_args!("{}:{branch}", group.number)),
            owner: self.owner.clone(),
            counters: Mutex::default(),
        })
    }

    /// The scope of a step's body.
    pub(crate) fn step(id: u32, key: &str, owner: Arc<TaskOwner>) -> Arc<Self> {
        Arc::new(Self {
            id,
            kind: ScopeKind::Step,
            path: key.into(),
            key: key.into(),
            owner: Some(owner),
            counters: Mutex::default(),
        })
    }

    /// Counts an item and opens it.
    ///
    /// # Errors
    /// What is open already.
    pub(crate) fn open(&self, what: Opening) -> Result<u32, Opening> {
        lock(&self.counters).open(what)
    }

    /// Counts a step of this name among its namesakes and opens it; gives its item and its key.
    ///
    /// # Errors
    /// What is open already.
    pub(crate) fn open_step(&self, name: &str) -> Result<(u32, Arc<str>), Opening> {
        let mut counters = lock(&self.counters);
        if let Some((_, open)) = &counters.open {
            return Err(open.clone());
        }
        let key = self.step_key(&mut counters, name);
        let item = counters.open(Opening::Step(Arc::clone(&key)))?;
        Ok((item, key))
    }

    /// Counts an item that nothing waits for.
    pub(crate) fn pass(&self) -> u32 {
        let mut counters = lock(&self.counters);
        counters.items += 1;
        counters.items
    }

    /// Opens a combinator.
    ///
    /// # Errors
    /// What is open already.
    pub(crate) fn open_group(&self, name: &'static str) -> Result<Group, Opening> {
        let item = self.open(Opening::Group(name))?;
        Ok(self.number_group(item))
    }

    /// Counts a spawned task, which its scope does not wait for.
    pub(crate) fn pass_group(&self) -> Group {
        let item = self.pass();
        self.number_group(item)
    }

    fn number_group(&self, item: u32) -> Group {
        let mut counters = lock(&self.counters);
        counters.groups += 1;
        Group { item, number: counters.groups }
    }

    /// Closes what item `item` opened.
    pub(crate) fn close(&self, item: u32) {
        let mut counters = lock(&self.counters);
        if counters.open.as_ref().is_some_and(|(open, _)| *open == item) {
            counters.open = None;
        }
    }

    /// The path of an item.
    pub(crate) fn item_path(&self, item: u32) -> Box<str> {
        within(&self.path, format_args!("{item}"))
    }

    /// The key of an effect with these arguments, which is counted among its equals.
    pub(crate) fn digest_key(&self, generation: u32, digest: Digest) -> String {
        let digest = digest.text();
        let mut key = self.key_prefix(generation);
        key.push_str(&digest);
        push_number(&mut key, "#", count(&mut lock(&self.counters).digests, &digest));
        key
    }

    /// The key of an effect that the author named.
    pub(crate) fn named_key(&self, generation: u32, name: &str) -> String {
        let mut key = self.key_prefix(generation);
        key.push_str(&escape(name));
        key
    }

    fn key_prefix(&self, generation: u32) -> String {
        let mut key = String::with_capacity(self.key.len() + 40);
        push_number(&mut key, "", u64::from(generation));
        key.push('/');
        if !self.key.is_empty() {
            key.push_str(&self.key);
            key.push('/');
        }
        key
    }

    fn step_key(&self, counters: &mut Counters, name: &str) -> Arc<str> {
        let escaped = escape(name);
        let count = count(&mut counters.names, name);
        let mut key = String::with_capacity(self.key.len() + escaped.len() + 4);
        if !self.key.is_empty() {
            key.push_str(&self.key);
            key.push('/');
        }
        key.push_str(&escaped);
        if count > 1 {
            push_number(&mut key, "#", count);
        }
        key.into()
    }

    /// Uses the scope's random stream, which `seed` begins when it is first used.
    pub(crate) fn with_random<T>(
        &self,
        seed: impl FnOnce(&str) -> ChaCha20Rng,
        draw: impl FnOnce(&mut ChaCha20Rng) -> T,
    ) -> T {
        let mut counters = lock(&self.counters);
        draw(counters.random.get_or_insert_with(|| Box::new(seed(&self.key))))
    }

    /// The scope as a person reads it.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            ScopeKind::Root => "the component's own body".to_owned(),
            ScopeKind::Task => format!("the spawned task `{}`", self.path),
            ScopeKind::Branch => format!("the branch `{}`", self.path),
            ScopeKind::Step => format!("the step `{}`", self.path),
        }
    }
}

impl Opening {
    /// What is open, as a person reads it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Effect(op) => format!("a `{op}`"),
            Self::Step(key) => format!("the step `{key}`"),
            Self::Group(name) => format!("a `{name}`"),
        }
    }
}

fn within(prefix: &str, label: std::fmt::Arguments<'_>) -> Box<str> {
    let mut text = String::with_capacity(prefix.len() + 12);
    if !prefix.is_empty() {
        text.push_str(prefix);
        text.push('/');
    }
    write!(text, "{label}").expect("text grows in memory");
    text.into()
}

/// Counts a text among its equals, from 1.
fn count(counts: &mut Counts, text: &str) -> u64 {
    if let Some(count) = counts.get_mut(text) {
        *count += 1;
        return *count;
    }
    counts.insert(text.into(), 1);
    1
}

fn push_number(text: &mut String, before: &str, number: u64) {
    write!(text, "{before}{number}").expect("text grows in memory");
}

/// Whose end waits for tasks: a step's body.
#[derive(Default)]
pub(crate) struct TaskOwner {
    state: Mutex<OwnerState>,
}

#[derive(Default)]
struct OwnerState {
    running: u32,
    abandoned: bool,
    waker: Option<Waker>,
}

impl TaskOwner {
    pub(crate) fn task_started(&self) {
        lock(&self.state).running += 1;
    }

    pub(crate) fn task_ended(&self) {
        let waker = {
            let mut state = lock(&self.state);
            state.running = state.running.saturating_sub(1);
            if state.running == 0 { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether tasks still run; if so, the last one wakes.
    pub(crate) fn still_running(&self, cx: &Context<'_>) -> bool {
        let mut state = lock(&self.state);
        if state.running > 0 {
            state.waker = Some(cx.waker().clone());
        }
        state.running > 0
    }

    /// Whether tasks still run.
    pub(crate) fn has_tasks(&self) -> bool {
        lock(&self.state).running > 0
    }

    pub(crate) fn abandon(&self) {
        lock(&self.state).abandoned = true;
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.state).abandoned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac_protocol::frame::Op;

    fn digest() -> Digest {
        Op::Sleep { ms: 5, until_ms: None }.digest()
    }

    #[test]
    fn paths_count_everything_and_keys_only_groups() {
        let root = Scope::root();
        for _ in 0..2 {
            let item = root.open(Opening::Effect("http")).unwrap();
            root.close(item);
        }
        let group = root.open_group("join").unwrap();
        let branch = root.branch(1, ScopeKind::Branch, &group, 2);
        assert_eq!(&*branch.item_path(branch.pass()), "3:2/1");
        assert_eq!(branch.digest_key(0, digest()), format!("0/1:2/{}#1", digest().text()));
        assert_eq!(&*branch.open_step("a/b").unwrap().1, "1:2/a%2Fb");
    }

    #[test]
    fn equal_requests_are_counted_and_so_are_namesakes() {
        let root = Scope::root();
        let text = digest().text();
        assert_eq!(root.digest_key(3, digest()), format!("3/{text}#1"));
        assert_eq!(root.digest_key(3, digest()), format!("3/{text}#2"));
        let (item, key) = root.open_step("pay").unwrap();
        root.close(item);
        assert_eq!(&*key, "pay");
        assert_eq!(&*root.open_step("pay").unwrap().1, "pay#2");
        assert_eq!(root.named_key(0, "pay#2"), "0/pay%232");
    }

    #[test]
    fn a_step_is_its_own_scope_by_its_key() {
        let step = Scope::step(1, "1:2/charge", Arc::default());
        assert_eq!(&*step.item_path(step.pass()), "1:2/charge/1");
        assert_eq!(step.named_key(0, "k"), "0/1:2/charge/k");
    }

    #[test]
    fn a_second_opening_names_the_first() {
        let root = Scope::root();
        let item = root.open(Opening::Step("charge".into())).unwrap();
        assert_eq!(root.open(Opening::Effect("sleep")).unwrap_err().describe(), "the step `charge`");
        root.close(item);
        assert!(root.open(Opening::Effect("sleep")).is_ok());
    }
}
