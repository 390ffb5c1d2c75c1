//! Cards, the catalog, and how both are served.

use bivouac_a2a::{
    card, media,
    types::{AgentCard, Part, SecurityScheme},
};
use bivouac_protocol::{
    Json,
    manifest::{Agent, Component, ComponentKind, FlowControl, Provider, Skill},
};
use http::HeaderMap;
use serde_json::{Value, json};

fn planner() -> Component {
    let skill = |id: &str, extended| Skill {
        id: id.to_owned(),
        name: id.to_owned(),
        description: "Does it.".to_owned(),
        input_modes: vec!["image/*".to_owned()],
        extended,
        ..Skill::default()
    };
    Component {
        kind: ComponentKind::Agent,
        name: "planner".to_owned(),
        description: Some("Plans trips.".to_owned()),
        input_schema: None,
        output_schema: None,
        flow_control: FlowControl::default(),
        agent: Some(Agent {
            title: "Trip planner".to_owned(),
            version: "2.1.0".to_owned(),
            skills: vec![skill("plan", false), skill("secret", true)],
            extended: true,
            provider: Some(Provider { organization: "Ours".to_owned(), url: "https://ours.example".to_owned() }),
            ..Agent::default()
        }),
    }
}

const BASE_URL: &str = "https://agents.example/agents/planner";

#[test]
fn a_card_says_what_clients_look_for() {
    let card = card::of_component(&planner(), card::Place { base_url: BASE_URL, keyed: true }, false);
    let value = serde_json::to_value(&card).unwrap();
    let expected = json!({
        "name": "Trip planner",
        "description": "Plans trips.",
        "version": "2.1.0",
        "supportedInterfaces": [
            {"url": "https://agents.example/agents/planner/a2a/jsonrpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": "https://agents.example/agents/planner/a2a/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}
        ],
        "provider": {"url": "https://ours.example", "organization": "Ours"},
        "capabilities": {"streaming": true, "pushNotifications": false, "extendedAgentCard": true},
        "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/plain", "application/json"],
        "skills": [{"id": "plan", "name": "plan", "description": "Does it.", "tags": [], "inputModes": ["image/*"]}]
    });
    assert_eq!(value, expected);
    assert_eq!(serde_json::from_value::<AgentCard>(value).unwrap(), card);
    let open = card::of_component(&planner(), card::Place { base_url: BASE_URL, keyed: false }, true);
    assert!(open.security_schemes.is_empty() && open.security_requirements.is_empty());
    assert_eq!(open.skills.len(), 2, "the extended card shows every skill");
}

#[test]
fn every_security_scheme_survives() {
    for name in [
        "apiKeySecurityScheme",
        "httpAuthSecurityScheme",
        "oauth2SecurityScheme",
        "openIdConnectSecurityScheme",
        "mtlsSecurityScheme",
    ] {
        let value = json!({name: {"description": "d"}});
        let scheme: SecurityScheme = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(scheme).unwrap(), value);
    }
    assert!(serde_json::from_value::<SecurityScheme>(json!({})).is_err());
}

#[test]
fn what_an_agent_takes_is_decided_by_its_modes_and_its_skills() {
    let modes = card::input_modes(&planner());
    assert_eq!(modes, ["text/plain", "application/json", "image/*"]);
    let check = |part: Part| media::check_parts(&[Part::text("x"), part], &modes);
    assert_eq!(check(Part::raw(&b"x"[..], "image/png")), Ok(()));
    assert_eq!(check(Part::data(Json::null())), Ok(()));
    assert!(check(Part::raw(&b"x"[..], "audio/wav")).is_err());
    assert!(check(Part::url("https://x.example")).is_err(), "a file of an unsaid type is application/octet-stream");
    assert!(media::covers("*/*", "a/b") && media::covers("TEXT/plain; charset=utf-8", "text/plain"));
}

#[test]
fn a_document_that_has_not_changed_is_not_sent_again() {
    let document = Json::parse_text("{}").unwrap();
    let first = card::response(&HeaderMap::new(), &document, "application/json", false);
    assert_eq!(
        (first.status().as_u16(), &first.headers()["cache-control"]),
        (200, &"public, max-age=60".parse().unwrap())
    );
    let tag = first.headers()["etag"].clone();
    for (named, status) in [
        (tag.to_str().unwrap().to_owned(), 304),
        ("*".to_owned(), 304),
        (format!("\"x\", W/{}", tag.to_str().unwrap()), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("if-none-match", named.parse().unwrap());
        let again = card::response(&headers, &document, "application/json", true);
        assert_eq!(again.status().as_u16(), status, "{named}");
        assert_eq!(again.body().is_empty(), status == 304);
        assert_eq!(again.headers()["cache-control"], "private, max-age=60");
    }
}

#[test]
fn the_catalog_links_every_agent_to_its_card() {
    let catalog: Value = card::catalog(["https://x.example/agents/a", "https://x.example/agents/b"]).parse().unwrap();
    assert_eq!(
        catalog["linkset"][1],
        json!({"anchor": "https://x.example/agents/b/", "service-desc": [{"href": "https://x.example/agents/b/.well-known/agent-card.json", "type": "application/json"}]})
    );
}
