//! Tasks and memory in etcd, over its JSON gateway: what an author writes for a store that speaks HTTP.
//!
//! A task is written in a transaction that compares how often its key was written, so of two writers one loses and is
//! told. Every part of who asks is a part of the key, encoded so that no two users share one.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bivouac::{
    AgentResult, AuthContext, Error, HttpService, MemoryService, TaskManager, TaskRecord, async_trait,
    services::{HttpRequest, Saved},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fmt, sync::Arc};

/// The most names that a list gives.
pub const MAX_NAMES: usize = 1_000;

/// A key-value server.
#[derive(Clone)]
pub struct Etcd {
    http: Arc<dyn HttpService>,
    url: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Txn {
    #[serde(default)]
    succeeded: bool,
}

impl Etcd {
    /// The server at this address, such as `http://127.0.0.1:2379`.
    pub fn new(http: Arc<dyn HttpService>, url: impl Into<String>) -> Self {
        Self { http, url: url.into() }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, body: &Value) -> AgentResult<T> {
        let request = HttpRequest::new("POST", format!("{}/v3/kv/{path}", self.url))
            .with_header("content-type", "application/json")
            .with_body(body.to_string());
        let reply = self.http.perform(request).await?;
        if reply.status != 200 {
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            return Err(Error::retryable("STORE_FAILED", format!("etcd answered {}: {body}", reply.status)));
        }
        Ok(serde_json::from_slice(&reply.body)?)
    }

    async fn range(&self, from: &str, limit: usize, keys_only: bool) -> AgentResult<Vec<(String, Bytes)>> {
        let mut end = from.as_bytes().to_vec();
        // Keys end with a text, so their last byte is below 0xff and the next one is a bound.
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1);
        }
        let body = json!({
            "key": STANDARD.encode(from), "range_end": STANDARD.encode(end),
            "limit": limit, "keys_only": keys_only,
        });
        let range: Range = self.ask("range", &body).await?;
        range.kvs.into_iter().map(read).collect()
    }

    async fn get(&self, key: &str) -> AgentResult<Option<Bytes>> {
        let range: Range = self.ask("range", &json!({ "key": STANDARD.encode(key) })).await?;
        range.kvs.into_iter().next().map(|found| read(found).map(|(_, value)| value)).transpose()
    }
}

fn read(found: KeyValue) -> AgentResult<(String, Bytes)> {
    let key = String::from_utf8(STANDARD.decode(found.key)?)?;
    Ok((key, STANDARD.decode(found.value)?.into()))
}

/// Where the values of a kind lie for a user.
fn folder(kind: &str, auth_ctx: &AuthContext) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let AuthContext { app_name, user_name, tenant, .. } = auth_ctx;
    format!("bivouac/{kind}/{}/{}/{}/", part(app_name), part(user_name), part(tenant))
}

#[async_trait]
impl MemoryService for Etcd {
    async fn save_serialized(&self, auth_ctx: &AuthContext, key: &str, value: Value) -> AgentResult<()> {
        let key = folder("memory", auth_ctx) + key;
        let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value.to_string()) });
        self.ask::<Value>("put", &body).await.map(drop)
    }

    async fn load_serialized(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<Value>> {
        let found = self.get(&(folder("memory", auth_ctx) + key)).await?;
        Ok(found.map(|value| serde_json::from_slice(&value)).transpose()?)
    }

    async fn list(&self, auth_ctx: &AuthContext, prefix: &str) -> AgentResult<Vec<String>> {
        let folder = folder("memory", auth_ctx);
        let found = self.range(&format!("{folder}{prefix}"), MAX_NAMES, true).await?;
        Ok(found.into_iter().map(|(key, _)| key[folder.len()..].to_owned()).collect())
    }

    async fn delete(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<()> {
        let key = folder("memory", auth_ctx) + key;
        self.ask::<Value>("deleterange", &json!({ "key": STANDARD.encode(key) })).await.map(drop)
    }
}

#[async_trait]
impl TaskManager for Etcd {
    async fn load(&self, auth_ctx: &AuthContext, id: &str) -> AgentResult<Option<TaskRecord>> {
        let found = self.get(&(folder("tasks", auth_ctx) + id)).await?;
        Ok(found.map(|value| serde_json::from_slice(&value)).transpose()?)
    }

    async fn save(&self, auth_ctx: &AuthContext, record: &TaskRecord) -> AgentResult<Saved> {
        let key = STANDARD.encode(folder("tasks", auth_ctx) + &record.id);
        // etcd counts the writes of a key from 1, as tasks are counted; a key that is not there has 0.
        let before = (record.revision - 1).to_string();
        let body = json!({
            "compare": [{ "target": "VERSION", "result": "EQUAL", "key": key, "version": before }],
            "success": [{ "requestPut": { "key": key, "value": STANDARD.encode(serde_json::to_vec(record)?) } }],
        });
        let txn: Txn = self.ask("txn", &body).await?;
        Ok(if txn.succeeded { Saved::Kept } else { Saved::Stale })
    }

    async fn list(&self, auth_ctx: &AuthContext, limit: usize) -> AgentResult<Vec<TaskRecord>> {
        let found = self.range(&folder("tasks", auth_ctx), limit, false).await?;
        Ok(found.into_iter().map(|(_, value)| serde_json::from_slice(&value)).collect::<Result<_, _>>()?)
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("url", &self.url).finish_non_exhaustive()
    }
}
