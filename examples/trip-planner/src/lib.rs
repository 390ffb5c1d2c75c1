//! An agent that plans a trip: it asks where to, looks for flights and hotels at once, lets the user choose a hotel, and
//! gives an itinerary.
//!
//! "Plan a trip to Lisbon" names the destination; whoever does not is asked. A user who says "remember" gets hotels of
//! the chosen class on the next trips without being asked, until "forget" is said. Where flights and hotels are found is
//! said by the first message's metadata: `service`, such as `http://127.0.0.1:8080` (default [`DEFAULT_SERVICE`]); `GET
//! {service}/flights?to=CITY` and `GET {service}/hotels?in=CITY` give lists.
//!
//! A task goes on where it was after a crash, before the question, in it and after it: what was fetched is not fetched
//! again, and an answer counts once.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// Where flights and hotels are looked for, where the message does not say.
pub const DEFAULT_SERVICE: &str = "http://127.0.0.1:7430";

/// The name in memory of the class of hotel, in stars, that the user likes.
const LIKED_STARS: &str = "hotel_stars";

/// A flight, as the service describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// Its number.
    pub number: String,
    /// When it departs, such as `08:10`.
    pub departs: String,
    /// What it costs.
    pub price: u32,
}

/// A hotel, as the service describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hotel {
    /// What the service knows it by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its class.
    pub stars: u8,
    /// What a night costs.
    pub price: u32,
}

/// What the agent makes: the artifact `itinerary.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Itinerary {
    /// Where to.
    pub destination: String,
    /// How to get there.
    pub flight: Flight,
    /// Where to sleep.
    pub hotel: Hotel,
}

/// What the task waits for.
#[derive(Serialize, Deserialize)]
enum Missing {
    Destination,
}

/// What a task is about.
#[derive(Serialize, Deserialize)]
struct Request {
    service: String,
    /// Whether the choice of a hotel is to be remembered.
    remember: bool,
}

/// Plans a trip: a flight, a hotel and an itinerary.
#[skill(
    id = "plan_trip",
    name = "Plan a trip",
    tags = ["travel", "flights", "hotels"],
    examples = ["Plan a trip to Lisbon", "I would like to travel"]
)]
#[derive(Debug)]
pub struct PlanTrip;

#[async_trait]
impl SkillHandler for PlanTrip {
    async fn on_request(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let text = content.text();
        if text.trim().is_empty() {
            return Ok(OnRequestResult::rejected("The message says nothing: tell me where you want to go."));
        }
        let service = task.metadata("service")?.unwrap_or_else(|| DEFAULT_SERVICE.to_owned());
        let request = Request { service, remember: text.to_lowercase().contains("remember") };
        task.set("request", &request)?;
        if text.to_lowercase().contains("forget") {
            ctx.memory().delete(LIKED_STARS).await?;
        }
        match destination_in(&text) {
            Some(destination) => Ok(plan(task, ctx, &request, destination).await?.into()),
            None => {
                let slot = SkillSlot::new(Missing::Destination);
                Ok(OnRequestResult::input_required("Where do you want to go?", slot))
            }
        }
    }

    async fn on_input_received(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnInputResult> {
        let request: Option<Request> = task.get("request")?;
        let (Some(request), Some(Missing::Destination)) = (request, task.slot()?) else {
            return Err(Error::terminal("NOT_ASKED", "an answer came to what was not asked"));
        };
        let text = content.text();
        if text.trim().is_empty() {
            let slot = SkillSlot::new(Missing::Destination);
            return Ok(OnInputResult::input_required("Please tell me the name of a city.", slot));
        }
        plan(task, ctx, &request, text.trim()).await
    }
}

/// What stands behind "trip to", up to the end of the sentence.
fn destination_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("trip to ")?;
    let city = rest.split(['.', ',', '!', '?', '\n']).next().unwrap_or(rest).trim();
    (!city.is_empty()).then_some(city)
}

async fn plan(task: &TaskContext, ctx: &Context, request: &Request, destination: &str) -> AgentResult<OnInputResult> {
    task.progress(format!("Looking for flights and hotels in {destination}"));
    let city = in_url(destination);
    let (flights, hotels) = ctx
        .join(
            look_up::<Flight>(ctx, "flights", format!("{}/flights?to={city}", request.service)),
            look_up::<Hotel>(ctx, "hotels", format!("{}/hotels?in={city}", request.service)),
        )
        .await;
    let (flights, hotels) = (flights?, hotels?);
    task.progress(format!("Found {} flights and {} hotels", flights.len(), hotels.len()));
    let cheapest = flights.into_iter().min_by_key(|flight| flight.price);
    let (Some(flight), false) = (cheapest, hotels.is_empty()) else {
        return Ok(OnInputResult::failed(format!("I found no way to travel to {destination}.")));
    };
    let hotel = choose(ctx, request, destination, hotels).await?;
    let itinerary = Itinerary { destination: destination.to_owned(), flight, hotel };
    let text = in_words(&itinerary);
    let artifact = Artifact::json("itinerary.json", &itinerary)?
        .described("The trip that was planned")
        .with(Part::text(text.clone()));
    Ok(OnInputResult::completed(text).with_artifact(artifact))
}

/// Asks the service for a list, once.
async fn look_up<T>(ctx: &Context, step: &str, url: String) -> AgentResult<Vec<T>>
where
    T: Serialize + serde::de::DeserializeOwned + Send,
{
    ctx.step(step, async { ctx.http().get(url).send().await?.error_for_status()?.json() }).await
}

/// The hotel of the class that the user likes, or the one that the user chooses.
async fn choose(ctx: &Context, request: &Request, destination: &str, hotels: Vec<Hotel>) -> AgentResult<Hotel> {
    let liked: Option<u8> = ctx.memory().load(LIKED_STARS).await?;
    let of_liked_class = || hotels.iter().find(|hotel| Some(hotel.stars) == liked);
    if let Some(hotel) = of_liked_class() {
        return Ok(hotel.clone());
    }
    let label = |hotel: &Hotel| format!("{}, {} stars, {} a night", hotel.name, hotel.stars, hotel.price);
    let options: Vec<_> = hotels.iter().map(|hotel| (hotel.id.clone(), label(hotel))).collect();
    let lines: Vec<_> = options.iter().zip(1..).map(|((_, label), place)| format!("{place}. {label}")).collect();
    let question = format!("Which hotel in {destination}?\n{}", lines.join("\n"));
    let id = ctx.ask(question).select(options).named("hotel").await?;
    let chosen = hotels.into_iter().find(|hotel| hotel.id == id);
    let hotel = chosen.ok_or_else(|| Error::terminal("NO_HOTEL", format!("the service has no hotel `{id}`")))?;
    if request.remember {
        ctx.memory().save(LIKED_STARS, &hotel.stars).await?;
    }
    Ok(hotel)
}

fn in_words(itinerary: &Itinerary) -> String {
    let Itinerary { destination, flight, hotel } = itinerary;
    format!(
        "Your trip to {destination}: flight {} at {} for {}, and {} ({} stars) for {} a night.",
        flight.number, flight.departs, flight.price, hotel.name, hotel.stars, hotel.price
    )
}

/// A text as a value in a URL's query.
fn in_url(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// What the module offers and asks for.
#[bivouac::module]
pub fn configure_agent() -> AgentDefinition {
    AgentDefinition::builder("trip-planner")
        .name("Trip planner")
        .description("Plans trips: flights, hotels, and an itinerary to take along.")
        .version(env!("CARGO_PKG_VERSION"))
        .skill(PlanTrip)
        .host("127.0.0.1:*")
        .host("localhost:*")
        .memory()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::testing::{Conversation, Reply, Test, http};

    fn flight(number: &str, price: u32) -> Flight {
        Flight { number: number.into(), departs: "08:10".into(), price }
    }

    fn hotel(id: &str, stars: u8) -> Hotel {
        Hotel { id: id.into(), name: format!("Hotel {id}"), stars, price: 80 }
    }

    /// A user whose service knows two flights and three hotels.
    fn traveller() -> Conversation {
        let hotels = [hotel("harbour", 3), hotel("garden", 4), hotel("grand", 5)];
        Conversation::with(configure_agent, "trip-planner")
            .metadata("service", "http://travel.example")
            .on(http("GET", "http://travel.example/flights?to=S%C3%A3o%20Paulo").reply(200, &[flight("BV 7", 700)]))
            .on(http("GET", "/flights?to=Lisbon").reply(200, &[flight("BV 1", 120), flight("BV 2", 95)]))
            .on(http("GET", "/hotels?in=Lisbon").reply(200, &hotels))
            .on(http("GET", "*").reply(200, &hotels))
    }

    fn itinerary(reply: &Reply) -> Itinerary {
        let artifact = reply.artifacts().into_iter().find(|artifact| artifact.id() == "itinerary.json").unwrap();
        artifact.parts()[0].as_data().unwrap().parse().unwrap()
    }

    #[test]
    fn a_trip_is_planned_over_two_questions() {
        let mut talk = traveller();
        assert_eq!(talk.say("I would like to travel").text(), "Where do you want to go?");

        let reply = talk.say("Lisbon");
        assert_eq!(reply.progress(), ["Looking for flights and hotels in Lisbon", "Found 2 flights and 3 hotels"]);
        let question = reply.question().unwrap();
        assert_eq!((question.options.len(), question.name.as_deref()), (3, Some("hotel")));
        assert!(question.text.starts_with("Which hotel in Lisbon?\n1. Hotel harbour, 3 stars"), "{}", question.text);

        let reply = talk.say("3");
        assert!(reply.is_completed());
        let planned = Itinerary { destination: "Lisbon".into(), flight: flight("BV 2", 95), hotel: hotel("grand", 5) };
        assert_eq!(itinerary(&reply), planned);
        assert!(reply.text().starts_with("Your trip to Lisbon: flight BV 2 at 08:10"), "{}", reply.text());
        assert_eq!(reply.report().requests().len(), 2, "each list is fetched once");
    }

    #[test]
    fn flights_and_hotels_are_fetched_at_once() {
        let mut talk = traveller();
        let reply = talk.say("Plan a trip to Lisbon, please");
        let keys: Vec<_> = reply.report().steps().iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["1:1/flights", "1:2/hotels"]);
        let first_turn = reply.report().turns().next().unwrap().1.to_vec();
        assert_eq!(String::from_utf8_lossy(&first_turn).matches("\"method\":\"GET\"").count(), 2);
    }

    #[test]
    fn a_destination_may_have_any_letters() {
        let mut talk = traveller();
        let _hotels = talk.say("Plan a trip to São Paulo.");
        assert_eq!(itinerary(&talk.say("garden")).flight.number, "BV 7");
    }

    #[test]
    fn an_unknown_hotel_is_asked_for_again() {
        let mut talk = traveller();
        let _hotels = talk.say("Plan a trip to Lisbon");
        let reply = talk.say("the one at the beach");
        assert!(reply.text().contains("`the one at the beach` is none of them."), "{}", reply.text());
        assert_eq!(itinerary(&talk.say("hotel garden, 4 stars, 80 a night")).hotel.id, "garden");
    }

    #[test]
    fn a_choice_is_remembered_until_it_is_to_be_forgotten() {
        let mut talk = traveller();
        let _hotels = talk.say("Please remember my hotel. Plan a trip to Lisbon");
        assert!(talk.memory().is_empty());
        let _planned = talk.say("garden");
        assert_eq!(talk.memory()["hotel_stars"].text(), "4");

        let reply = talk.say("Plan a trip to Lisbon");
        assert!(reply.is_completed(), "the class of hotel is known: {}", reply.text());
        assert_eq!(itinerary(&reply).hotel.id, "garden");

        assert!(talk.say("Forget my hotel, and plan a trip to Lisbon").question().is_some());
    }

    #[test]
    fn nowhere_to_sleep_is_no_trip() {
        let none: [Hotel; 0] = [];
        let test = Test::agent(configure_agent, "trip-planner").message("Plan a trip to Lisbon");
        let test = test.on(http("GET", "/flights?to=Lisbon").reply(200, &[flight("BV 1", 1)]));
        let report = test.on(http("GET", "/hotels?in=Lisbon").reply(200, &none)).run();
        assert_eq!((report.error().code(), report.error().is_retryable()), ("HANDLER_FAILED", false));
        assert_eq!(report.error().message(), "I found no way to travel to Lisbon.");
        assert_eq!(report.lines()[0], format!("GET {DEFAULT_SERVICE}/flights?to=Lisbon"));
    }

    #[test]
    fn a_message_without_words_is_rejected() {
        let report = Test::agent(configure_agent, "trip-planner").message(Vec::new()).run();
        assert_eq!(report.error().code(), "REJECTED");
    }
}
