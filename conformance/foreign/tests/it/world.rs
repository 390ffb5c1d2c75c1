//! The services that the agent asks: they count, and a booking counts once per key.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// What the world was asked.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// How often each key came.
    pub(crate) bookings: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl World {
    /// Serves the world; gives its address.
    pub(crate) async fn serve(&self) -> String {
        let app = Router::new()
            .route("/weather/{place}", get(weather))
            .route("/hotels/{place}", get(hotels))
            .route("/bookings", post(book))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }
}

async fn weather(State(world): State<World>, Path(place): Path<String>) -> String {
    world.asked.lock().unwrap().push(format!("weather {place}"));
    format!("sun over {place}")
}

async fn hotels(State(world): State<World>, Path(place): Path<String>) -> String {
    world.asked.lock().unwrap().push(format!("hotels {place}"));
    format!("the inn of {place}")
}

async fn book(State(world): State<World>, headers: HeaderMap) -> (StatusCode, String) {
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "no key".to_owned());
    };
    let mut bookings = world.bookings.lock().unwrap();
    *bookings.entry(key.to_owned()).or_default() += 1;
    (StatusCode::OK, format!("booking {}", bookings.len()))
}
