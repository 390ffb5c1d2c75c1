//! How agents are found: cards, the root card, the catalog, and what is said where there is none.

use super::{
    a2a_support::{BOTH, Client, start, with},
    api_support::{Api, manifest, module, send},
};
use bivouac_server::Config;
use reqwest::Method;
use serde_json::{Value, json};

async fn get_as(api: &Api, key: &str, path: &str) -> super::api_support::Answer {
    send(api.request_as(key, Method::GET, path)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_in_the_public_environment_needs_no_key_and_names_where_to_speak() {
    let api = start().await;
    let card = get_as(&api, "", "/agents/guide/.well-known/agent-card.json").await;
    assert_eq!(card.status.as_u16(), 200, "{}", card.text);
    assert_eq!(card.json["name"], "The guide");
    let base = format!("{}/agents/guide", api.base);
    let urls: Vec<_> =
        card.json["supportedInterfaces"].as_array().unwrap().iter().map(|i| i["url"].as_str().unwrap()).collect();
    assert_eq!(urls, [format!("{base}/a2a/jsonrpc"), format!("{base}/a2a/rest")]);
    assert_eq!(
        card.json["capabilities"],
        json!({"streaming": true, "pushNotifications": false, "extendedAgentCard": true})
    );
    assert_eq!(card.json["skills"].as_array().unwrap().len(), 1, "the other is on the extended card");
    assert!(card.json["securitySchemes"]["bearer"]["httpAuthSecurityScheme"].is_object());
    assert_eq!(card.headers["cache-control"], "public, max-age=60");
    let again = api
        .request_as("", Method::GET, "/agents/guide/.well-known/agent-card.json")
        .header("if-none-match", &card.headers["etag"]);
    assert_eq!(send(again).await.status.as_u16(), 304);
    for via in BOTH {
        let extended = Client::new(&api, via, "guide").call("GetExtendedAgentCard", json!({})).await.unwrap();
        assert_eq!(extended["skills"].as_array().unwrap().len(), 2);
    }
    for (path, says) in [
        ("/agents/nobody/.well-known/agent-card.json", "api-catalog"),
        ("/agents/.well-known/agent-card.json", "slash at its end"),
        ("/.well-known/agent-card.json", "/agents/boast/.well-known/agent-card.json"),
    ] {
        let answer = get_as(&api, "", path).await;
        assert_eq!(answer.status.as_u16(), 404);
        assert!(answer.json["error"].as_str().unwrap().contains(says), "{}", answer.text);
    }
    let catalog = get_as(&api, "", "/.well-known/api-catalog").await;
    assert_eq!(catalog.headers["content-type"], "application/linkset+json");
    let anchors: Vec<_> =
        catalog.json["linkset"].as_array().unwrap().iter().map(|links| links["anchor"].as_str().unwrap()).collect();
    let expected = ["boast", "guide", "plain"].map(|name| format!("{}/agents/{name}/", api.base));
    assert_eq!(anchors, expected);
    let posted = send(api.request(Method::POST, "/agents/guide/.well-known/agent-card.json")).await;
    assert_eq!(posted.status.as_u16(), 405);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_where_the_server_is_reached_and_which_agent_is_at_the_root() {
    let config = Config {
        public_origin: Some("https://agents.example/".to_owned()),
        default_agent: Some("plain".to_owned()),
        ..Config::default()
    };
    let api = with(config).await;
    let root = get_as(&api, "", "/.well-known/agent-card.json").await;
    assert_eq!(root.json["name"], "The plain");
    assert_eq!(root.json["supportedInterfaces"][0]["url"], "https://agents.example/agents/plain/a2a/jsonrpc");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_believed_in_development_only() {
    let host = |api: &Api| {
        api.request_as("", Method::GET, "/agents/guide/.well-known/agent-card.json").header("host", "localhost:1")
    };
    let api = start().await;
    let card: Value = send(host(&api)).await.json;
    assert!(card["supportedInterfaces"][0]["url"].as_str().unwrap().starts_with(&api.base), "{card}");
    api.shutdown().await;
    let api = with(Config { dev: true, ..Config::default() }).await;
    let card: Value = send(host(&api)).await.json;
    assert_eq!(card["supportedInterfaces"][0]["url"], "http://localhost:1/agents/guide/a2a/jsonrpc");
    assert_eq!(card.get("securitySchemes"), None, "in development no key is needed");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_of_other_environments_and_where_the_operator_says_so_need_a_key() {
    let api = with(Config { public_cards: false, ..Config::default() }).await;
    for path in
        ["/agents/guide/.well-known/agent-card.json", "/.well-known/agent-card.json", "/.well-known/api-catalog"]
    {
        assert_eq!(get_as(&api, "", path).await.status.as_u16(), 401, "{path}");
    }
    let card = api.get("/agents/guide/.well-known/agent-card.json").await;
    assert_eq!((card.status.as_u16(), &card.headers["cache-control"]), (200, &"private, max-age=60".parse().unwrap()));
    api.shutdown().await;

    let api = start().await;
    let staged = module(&manifest(&[("agent", "stager")]), "\"x\"");
    let deployed = api.deploy("service=stage&immutable_ref=1&environment=staging", staged).await;
    assert!(deployed.status.is_success(), "{}", deployed.text);
    let key = api.new_key(&["run"], "staging").await;
    let path = "/envs/staging/agents/stager/.well-known/agent-card.json";
    assert_eq!(get_as(&api, "", path).await.status.as_u16(), 401);
    assert_eq!(get_as(&api, "", "/agents/stager/.well-known/agent-card.json").await.status.as_u16(), 404);
    let card = get_as(&api, &key, path).await;
    assert_eq!(card.json["supportedInterfaces"][1]["url"], format!("{}/envs/staging/agents/stager/a2a/rest", api.base));
    assert_eq!(
        get_as(&api, &key, "/agents/stager/.well-known/agent-card.json").await.status.as_u16(),
        200,
        "by the key"
    );
    assert_eq!(get_as(&api, &key, "/.well-known/agent-card.json").await.json["name"], "stager", "the only agent there");
    let outsider = api.new_key(&["run"], "default").await;
    assert_eq!(get_as(&api, &outsider, path).await.status.as_u16(), 404);
    let catalog = get_as(&api, &key, "/.well-known/api-catalog").await;
    assert_eq!(catalog.json["linkset"][0]["anchor"], format!("{}/envs/staging/agents/stager/", api.base));
    api.shutdown().await;
}
