//! The shop, called over a plain socket.

use bivouac_testbed::{Shop, Travel, travel};
use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

const SOON: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_millis(1);

#[test]
fn calls_are_counted_and_recorded_in_the_order_of_arrival() {
    let shop = Shop::start().unwrap();
    call(&shop, "/reserve", Some("run.0/a#1"), "1").unwrap();
    call(&shop, "/charge?x=1", Some("run.0/b#1"), "2").unwrap();
    call(&shop, "/charge", None, "3").unwrap();
    assert_eq!((shop.calls("/reserve"), shop.calls("/charge"), shop.calls("/ship")), (1, 2, 0));
    let log = shop.log();
    assert_eq!(log.iter().map(|call| call.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(log.iter().map(|call| call.path.as_str()).collect::<Vec<_>>(), ["/reserve", "/charge", "/charge"]);
    assert_eq!(log[0].key.as_deref(), Some("run.0/a#1"));
    assert!(log.iter().all(|call| call.status == Some(200) && call.method == "POST"));
    assert_ne!(log[0].body, log[1].body);
}

#[test]
fn the_travel_service_is_a_shop_with_flights_and_hotels() {
    let travel = Travel::start().unwrap();
    let flights = call(&travel, "/flights?to=Lisbon", None, "").unwrap();
    assert!(flights.contains(r#""number":"BV 205""#), "{flights}");
    travel.fail_next(travel::HOTELS, 1, 503);
    assert!(call(&travel, "/hotels?in=Lisbon", None, "").unwrap().starts_with("HTTP/1.1 503"));
    travel.reset();
    let hotels = call(&travel, "/hotels?in=Lisbon", None, "").unwrap();
    assert!(hotels.contains(r#""id":"garden""#), "what is offered stays: {hotels}");
    assert_eq!((travel.calls(travel::FLIGHTS), travel.calls(travel::HOTELS)), (0, 1));
}

#[test]
fn a_key_has_one_reply_and_only_one_body() {
    let shop = Shop::start().unwrap();
    let first = call(&shop, "/charge", Some("k"), "1").unwrap();
    assert_eq!(call(&shop, "/charge", Some("k"), "1").unwrap(), first);
    assert_ne!(call(&shop, "/charge", Some("other"), "1").unwrap(), first);
    assert!(shop.conflicts().is_empty());
    assert_eq!(shop.keys()[&("/charge".to_owned(), "k".to_owned())], 2);

    let conflict = call(&shop, "/charge", Some("k"), "2").unwrap();
    assert!(conflict.starts_with("HTTP/1.1 422"), "{conflict}");
    assert_eq!(shop.conflicts(), ["k"]);
}

#[test]
fn it_fails_and_refuses_as_told() {
    let shop = Shop::start().unwrap();
    shop.fail_next("/charge", 2, 503);
    shop.refuse("/ship");
    let statuses: Vec<_> = (0..3).map(|n| status(&call(&shop, "/charge", None, &n.to_string()).unwrap())).collect();
    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(status(&call(&shop, "/ship", None, "").unwrap()), 409);
    assert_eq!((shop.calls("/charge"), shop.accepted("/charge"), shop.accepted("/ship")), (3, 1, 0));
    shop.reset();
    assert_eq!(status(&call(&shop, "/ship", None, "").unwrap()), 200);
    assert_eq!(shop.calls("/charge"), 0);
}

#[test]
fn a_held_call_has_arrived_and_is_answered_when_released() {
    let shop = Shop::start().unwrap();
    shop.hold("/pack");
    thread::scope(|scope| {
        let caller = scope.spawn(|| call(&shop, "/pack", None, "").unwrap());
        shop.wait_for("/pack", 1, SOON).unwrap();
        let unanswered = shop.wait_for_answer("/pack", 1, NEVER).unwrap_err();
        assert!(unanswered.to_string().contains("call 1 of /pack, and 0 came"), "{unanswered}");
        shop.release("/pack");
        assert_eq!(status(&caller.join().unwrap()), 200);
    });
    shop.wait_for_answer("/pack", 1, SOON).unwrap();
}

#[test]
fn a_shop_that_is_dropped_leaves_held_callers_without_an_answer() {
    let shop = Shop::start().unwrap();
    shop.hold("/pack");
    let (origin, caller) = (shop.origin(), thread::Builder::new());
    let caller = caller.spawn(move || request(&origin, "/pack", None, "")).unwrap();
    shop.wait_for("/pack", 1, SOON).unwrap();
    drop(shop);
    assert_eq!(caller.join().unwrap().unwrap_or_default(), "");
}

fn call(shop: &Shop, path: &str, key: Option<&str>, body: &str) -> io::Result<String> {
    request(&shop.origin(), path, key, body)
}

fn request(origin: &str, path: &str, key: Option<&str>, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(origin.trim_start_matches("http://"))?;
    let key = key.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{key}content-length: {length}\r\n\r\n{body}"
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    // The date is the only part of a reply that may differ.
    Ok(reply.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n"))
}

fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}
