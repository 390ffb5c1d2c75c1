//! The travel service that the example `trip-planner` asks: flights and hotels, the same for every destination.
//!
//! It is a [`Shop`] with two fixed replies, so calls are counted, and can be delayed, held, failed and waited for as
//! there, by the paths [`FLIGHTS`] and [`HOTELS`].

use crate::Shop;
use serde_json::json;
use std::{io, ops::Deref};

/// Where flights are: `GET /flights?to=CITY`.
pub const FLIGHTS: &str = "/flights";

/// Where hotels are: `GET /hotels?in=CITY`.
pub const HOTELS: &str = "/hotels";

/// A running travel service; it ends when it is dropped.
#[derive(Debug)]
pub struct Travel(Shop);

impl Travel {
    /// Opens a service on a free port of the loopback address.
    ///
    /// # Errors
    /// What the operating system refuses: a port, a thread.
    pub fn start() -> io::Result<Self> {
        let shop = Shop::start()?;
        let flights = json!([
            { "number": "BV 101", "departs": "08:10", "price": 120 },
            { "number": "BV 205", "departs": "13:45", "price": 95 },
            { "number": "BV 309", "departs": "19:30", "price": 140 },
        ]);
        let hotels = json!([
            { "id": "harbour", "name": "Harbour Inn", "stars": 3, "price": 80 },
            { "id": "garden", "name": "Garden House", "stars": 4, "price": 115 },
            { "id": "grand", "name": "Grand Palace", "stars": 5, "price": 240 },
        ]);
        shop.offer(FLIGHTS, &flights);
        shop.offer(HOTELS, &hotels);
        Ok(Self(shop))
    }
}

impl Deref for Travel {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}
