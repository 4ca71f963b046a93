//! The simulated Cloudflare answers as the vendor documents, and its name server as its API.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RecordType},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulators::{
    CallLimit, Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, CloudflareToken,
    RecordAccess, RecordChange, RecordSeed, TokenOwner, TokenStatus, ZoneAccess,
};

struct Sim {
    cloudflare: Cloudflare,
    client: Client,
    token: String,
    zone: String,
}

impl Sim {
    async fn start(config: CloudflareConfig) -> Self {
        let token = config.tokens[0].value.clone();
        let cloudflare = Cloudflare::start(config).await.unwrap();
        let zone = cloudflare.zone_id("example.com").unwrap();
        Self { cloudflare, client: Client::builder().no_proxy().build().unwrap(), token, zone }
    }

    async fn new() -> Self {
        Self::start(CloudflareConfig::default()).await
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.cloudflare.endpoint()));
        let request = request.bearer_auth(&self.token);
        match body {
            Some(body) => request.json(&body),
            None => request,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.request(method, path, body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    fn records(&self) -> String {
        format!("/zones/{}/dns_records", self.zone)
    }

    async fn create(&self, body: Value) -> Value {
        let (status, answer) = self.call(Method::POST, &self.records(), Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!((&answer["success"], &answer["errors"]), (&json!(true), &json!([])));
        answer["result"].clone()
    }

    /// Status, code, and the code beneath.
    async fn refused(&self, method: Method, path: &str, body: Option<Value>) -> (u16, u64, u64) {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!((&answer["success"], &answer["result"]), (&json!(false), &Value::Null), "{answer}");
        let error = &answer["errors"][0];
        let beneath = error["error_chain"][0]["code"].as_u64().unwrap_or(0);
        (status, error["code"].as_u64().unwrap(), beneath)
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let (status, answer) = self.call(Method::GET, &format!("{}?{query}", self.records()), None).await;
        assert_eq!(status, 200, "{answer}");
        let records = answer["result"].as_array().unwrap();
        records.iter().map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["type"].as_str().unwrap())).collect()
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> u16 {
        let url = self.cloudflare.endpoint().replace("/client/v4", "/control");
        self.client.request(method, format!("{url}{path}")).json(&body).send().await.unwrap().status().as_u16()
    }
}

fn a(name: &str) -> Value {
    json!({"name": name, "type": "A", "content": "192.0.2.1"})
}

#[tokio::test]
async fn a_record_has_everything_that_the_vendor_shows() {
    let sim = Sim::new().await;
    let made =
        sim.create(json!({"name": "alpha", "type": "A", "content": "192.0.2.1", "ttl": 120, "comment": "mine"})).await;
    assert_eq!(made["name"], "alpha.example.com");
    assert_eq!((&made["ttl"], &made["proxied"], &made["proxiable"]), (&json!(120), &json!(false), &json!(true)));
    assert_eq!((&made["comment"], &made["tags"]), (&json!("mine"), &json!([])));
    assert_eq!(made["id"].as_str().unwrap().len(), 32);
    let path = format!("{}/{}", sim.records(), made["id"].as_str().unwrap());
    assert_eq!(sim.call(Method::GET, &path, None).await.1["result"], made);
    let (_, gone) = sim.call(Method::DELETE, &path, None).await;
    assert_eq!(gone["result"], json!({"id": made["id"]}));
    assert_eq!(sim.refused(Method::GET, &path, None).await, (404, 81044, 0));
    assert_eq!(sim.refused(Method::DELETE, &path, None).await, (404, 81044, 0));
}

#[tokio::test]
async fn patch_keeps_and_put_resets() {
    let sim = Sim::new().await;
    let body = json!({"name": "alpha", "type": "A", "content": "192.0.2.1", "proxied": true, "comment": "mine"});
    let made = sim.create(body).await;
    assert_eq!(made["ttl"], 1, "automatic behind the proxy");
    let path = format!("{}/{}", sim.records(), made["id"].as_str().unwrap());
    let (_, patched) = sim.call(Method::PATCH, &path, Some(json!({"content": "192.0.2.2"}))).await;
    let patched = &patched["result"];
    assert_eq!((&patched["content"], &patched["comment"]), (&json!("192.0.2.2"), &json!("mine")));
    assert_eq!(patched["proxied"], true);
    assert_eq!(patched["created_on"], made["created_on"]);
    let (_, put) = sim.call(Method::PUT, &path, Some(a("alpha"))).await;
    let put = &put["result"];
    assert_eq!((&put["proxied"], &put["comment"], &put["ttl"]), (&json!(false), &Value::Null, &json!(1)));
    assert_eq!(put["id"], made["id"]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_reason_beneath() {
    let sim = Sim::new().await;
    let cases = [
        (json!({"name": "a", "type": "A", "content": "2001:db8::1"}), 9005),
        (json!({"name": "a", "type": "AAAA", "content": "192.0.2.1"}), 9006),
        (json!({"name": "a", "type": "CNAME", "content": "not a name"}), 9007),
        (json!({"name": "a", "type": "NOPE", "content": "x"}), 9002),
        (json!({"name": "a..b", "type": "A", "content": "192.0.2.1"}), 9000),
        (json!({"name": "a", "type": "A", "content": "192.0.2.1", "ttl": 59}), 9021),
        (json!({"name": "a", "type": "A", "content": "192.0.2.1", "ttl": 86_401}), 9021),
        (json!({"name": "a", "type": "TXT", "content": "x", "proxied": true}), 9004),
        (json!({"name": "a", "type": "A", "content": "192.0.2.1", "tags": ["a:b"]}), 9300),
        (json!({"name": "a", "type": "A", "content": "192.0.2.1", "comment": "x".repeat(101)}), 9301),
    ];
    for (body, beneath) in cases {
        let refused = sim.refused(Method::POST, &sim.records(), Some(body.clone())).await;
        assert_eq!(refused, (400, 1004, beneath), "{body}");
    }
    assert_eq!(sim.cloudflare.records("example.com"), Vec::<Value>::new());
}

#[tokio::test]
async fn what_cannot_stand_beside_one_another() {
    let sim = Sim::new().await;
    sim.create(a("alpha")).await;
    let cname = |name: &str| json!({"name": name, "type": "CNAME", "content": "example.org"});
    let records = sim.records();
    assert_eq!(sim.refused(Method::POST, &records, Some(a("alpha"))).await, (400, 81058, 0));
    assert_eq!(sim.refused(Method::POST, &records, Some(cname("alpha"))).await, (400, 81053, 0));
    sim.create(cname("beta")).await;
    assert_eq!(sim.refused(Method::POST, &records, Some(cname("beta"))).await.1, 81058);
    assert_eq!(sim.refused(Method::POST, &records, Some(a("beta"))).await, (400, 81054, 0));
    // Several addresses and texts under one name are fine.
    sim.create(json!({"name": "alpha", "type": "A", "content": "192.0.2.2"})).await;
    sim.create(json!({"name": "beta", "type": "TXT", "content": "x"})).await;
}

#[tokio::test]
async fn filters_pages_and_order() {
    let sim = Sim::new().await;
    for (n, name) in ["alpha", "beta", "gamma"].iter().enumerate() {
        let comment = format!("hangar inst-{n} dns_{n}");
        sim.create(json!({"name": name, "type": "A", "content": format!("192.0.2.{n}"), "comment": comment})).await;
    }
    sim.create(json!({"name": "alpha", "type": "TXT", "content": "x"})).await;
    assert_eq!(sim.names("name=ALPHA.example.com").await, ["alpha.example.com A", "alpha.example.com TXT"]);
    assert_eq!(sim.names("name.exact=alpha.example.com&type=A").await, ["alpha.example.com A"]);
    assert_eq!(sim.names("name.contains=eta").await, ["beta.example.com A"]);
    assert_eq!(sim.names("content=192.0.2.2").await, ["gamma.example.com A"]);
    assert_eq!(sim.names("comment.startswith=hangar%20inst-1").await, ["beta.example.com A"]);
    assert_eq!(sim.names("comment.absent=true").await, ["alpha.example.com TXT"]);
    assert_eq!(sim.names("match=any&content=192.0.2.2&name.startswith=beta").await.len(), 2);
    assert_eq!(sim.names("order=name&direction=desc&per_page=1").await, ["gamma.example.com A"]);

    let (_, page) = sim.call(Method::GET, &format!("{}?per_page=3&page=2", sim.records()), None).await;
    let info = json!({"page": 2, "per_page": 3, "count": 1, "total_count": 4, "total_pages": 2});
    assert_eq!(page["result_info"], info);
    let (_, beyond) = sim.call(Method::GET, &format!("{}?per_page=3&page=3", sim.records()), None).await;
    assert_eq!(beyond["result"], json!([]));
}

#[tokio::test]
async fn a_batch_is_carried_out_whole_or_not_at_all() {
    let sim = Sim::new().await;
    let (one, two) = (sim.create(a("one")).await, sim.create(a("two")).await);
    let path = format!("{}/batch", sim.records());
    let body = json!({
        "deletes": [{"id": one["id"]}],
        "patches": [{"id": two["id"], "content": "192.0.2.2"}],
        "posts": [a("one"), a("three")],
    });
    let (status, answer) = sim.call(Method::POST, &path, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["result"]["posts"].as_array().unwrap().len(), 2);
    assert_eq!(answer["result"]["deletes"][0]["name"], "one.example.com");
    let before = sim.cloudflare.records("example.com");
    assert_eq!(before.len(), 3);
    let body = json!({"deletes": [{"id": two["id"]}], "posts": [a("four"), a("four")]});
    assert_eq!(sim.refused(Method::POST, &path, Some(body)).await.1, 81058);
    assert_eq!(sim.cloudflare.records("example.com"), before);
}

#[tokio::test]
async fn a_full_zone_takes_no_more() {
    let sim = Sim::start(CloudflareConfig { record_quota: 1, ..CloudflareConfig::default() }).await;
    sim.create(a("one")).await;
    assert_eq!(sim.refused(Method::POST, &sim.records(), Some(a("two"))).await, (400, 81045, 0));
    assert_eq!(sim.control(Method::PUT, "/quota", json!({"records": 2})).await, 204);
    sim.create(a("two")).await;
}

#[tokio::test]
async fn tokens_are_verified_in_two_places_and_see_what_is_theirs() {
    let token = |value: &str| CloudflareToken::new(value.repeat(40));
    let tokens = vec![
        token("a"),
        CloudflareToken { owner: TokenOwner::Account, expires_on: Some("2027-01-01T00:00:00Z".into()), ..token("b") },
        CloudflareToken { record_access: RecordAccess::Read, ..token("d") },
        CloudflareToken { zone_access: ZoneAccess::None, zones: Some(vec!["example.com".into()]), ..token("e") },
        CloudflareToken { zones: Some(vec!["example.org".into()]), ..token("f") },
        CloudflareToken { status: TokenStatus::Disabled, ..token("9") },
    ];
    let zones = vec!["example.com".to_owned(), "example.org".to_owned()];
    let mut sim = Sim::start(CloudflareConfig { tokens, zones, ..CloudflareConfig::default() }).await;
    let account = format!("/accounts/{}/tokens/verify", sim.cloudflare.account_id());
    let (user, zone, records) = ("/user/tokens/verify", format!("/zones/{}", sim.zone), sim.records());
    assert_eq!(sim.call(Method::GET, user, None).await.1["result"]["status"], "active");
    assert_eq!(sim.refused(Method::GET, &account, None).await, (401, 1000, 0));
    assert_eq!(sim.call(Method::GET, "/zones", None).await.1["result_info"]["total_count"], 2);
    assert_eq!(sim.call(Method::GET, "/zones?name=example.org", None).await.1["result"][0]["name"], "example.org");

    sim.token = "b".repeat(40);
    assert_eq!(sim.refused(Method::GET, user, None).await, (401, 1000, 0));
    let (_, told) = sim.call(Method::GET, &account, None).await;
    assert_eq!(told["result"]["expires_on"], "2027-01-01T00:00:00Z");

    sim.token = "d".repeat(40);
    assert_eq!(sim.call(Method::GET, &records, None).await.0, 200);
    assert_eq!(sim.refused(Method::POST, &records, Some(a("x"))).await, (403, 10000, 0));

    sim.token = "e".repeat(40);
    assert_eq!(sim.refused(Method::GET, "/zones", None).await, (403, 9109, 0));
    assert_eq!(sim.refused(Method::GET, &zone, None).await, (403, 9109, 0));
    sim.create(a("narrow")).await;

    sim.token = "f".repeat(40);
    assert_eq!(sim.call(Method::GET, "/zones", None).await.1["result"][0]["name"], "example.org");
    assert_eq!(sim.refused(Method::GET, &records, None).await, (403, 9109, 0));

    sim.token = "9".repeat(40);
    assert_eq!(sim.call(Method::GET, user, None).await.1["result"]["status"], "disabled");
    assert_eq!(sim.refused(Method::GET, &records, None).await, (403, 9109, 0));
    sim.token = "0".repeat(40);
    assert_eq!(sim.refused(Method::GET, user, None).await, (401, 1000, 0));
    assert_eq!(sim.refused(Method::GET, &records, None).await, (403, 9109, 0));
    sim.token = "no token".to_owned();
    assert_eq!(sim.refused(Method::GET, &records, None).await, (400, 6003, 6111));
}

#[tokio::test]
async fn zones_that_are_not_there() {
    let sim = Sim::new().await;
    let unknown = format!("/zones/{}/dns_records", "0".repeat(32));
    assert_eq!(sim.refused(Method::GET, &unknown, None).await, (404, 7003, 0));
    assert_eq!(sim.refused(Method::GET, "/zones/example.com/dns_records", None).await, (400, 7003, 0));
    assert!(sim.cloudflare.remove_zone("example.com"));
    assert_eq!(sim.refused(Method::GET, &sim.records(), None).await, (404, 7003, 0));
    assert_eq!(sim.refused(Method::POST, &sim.records(), Some(a("x"))).await, (404, 7003, 0));
}

#[tokio::test]
async fn too_many_calls_block_and_tell_for_how_long() {
    let limit = CallLimit { calls: 2, window: Duration::from_secs(300), block: Duration::from_secs(300) };
    let sim = Sim::start(CloudflareConfig { limit, ..CloudflareConfig::default() }).await;
    let first = sim.request(Method::GET, "/zones", None).send().await.unwrap();
    assert_eq!(first.headers()["ratelimit-policy"], "\"default\";q=2;w=300");
    assert!(!first.headers()["cf-ray"].is_empty());
    assert_eq!(sim.call(Method::GET, "/zones", None).await.0, 200);
    for _ in 0..2 {
        let refused = sim.request(Method::GET, "/zones", None).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 429);
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((290..=300).contains(&wait), "{wait}");
    }
    let open = json!({"calls": 100, "window_seconds": 300, "block_seconds": 300});
    assert_eq!(sim.control(Method::PUT, "/rate-limit", open).await, 204);
    assert_eq!(sim.call(Method::GET, "/zones", None).await.0, 200);
}

#[tokio::test]
async fn faults_do_what_networks_and_vendors_do() {
    let sim = Sim::new().await;
    let create = || sim.request(Method::POST, &sim.records(), Some(a("alpha"))).send();
    let set = |effect| sim.cloudflare.fault(CloudflareFault::next(CloudflareCall::RecordCreate, effect));
    let status = CloudflareEffect::Status { status: 403, code: 10000, message: "no".to_owned(), body: None };
    let without_effect = [
        (status, 403),
        (CloudflareEffect::HtmlBadGateway, 502),
        (CloudflareEffect::EmptyBody { status: 503 }, 503),
        (CloudflareEffect::RateLimited { retry_after: 7 }, 429),
    ];
    for (effect, status) in without_effect {
        let id = set(effect);
        // Another kind of call does not meet it.
        sim.names("").await;
        assert_eq!(create().await.unwrap().status().as_u16(), status);
        sim.cloudflare.fault_hit(id).await;
    }
    set(CloudflareEffect::Reset { after_effect: false });
    create().await.unwrap_err();
    assert_eq!(sim.names("").await, Vec::<String>::new());

    for effect in [
        CloudflareEffect::LostAnswer,
        CloudflareEffect::UnreadableBody,
        CloudflareEffect::Reset { after_effect: true },
        CloudflareEffect::Late { ms: 10 },
    ] {
        set(effect.clone());
        let answer = create().await;
        match effect {
            CloudflareEffect::Reset { .. } => drop(answer.unwrap_err()),
            CloudflareEffect::UnreadableBody => drop(answer.unwrap().json::<Value>().await.unwrap_err()),
            _ => assert_eq!(answer.unwrap().status().as_u16(), 504),
        }
        sim.cloudflare.settled().await;
        assert_eq!(sim.names("").await, ["alpha.example.com A"], "{effect:?}");
        assert_eq!(sim.cloudflare.remove_records("alpha.example.com", "A"), 1);
    }
    set(CloudflareEffect::Slow { ms: 10 });
    assert_eq!(create().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn the_control_endpoint_does_what_others_do() {
    let sim = Sim::new().await;
    let seed = json!({"name": "www.example.com", "type": "A", "content": "192.0.2.1", "comment": "theirs"});
    assert_eq!(sim.control(Method::POST, "/records", seed).await, 204);
    let id = sim.cloudflare.records("example.com")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(sim.control(Method::PATCH, &format!("/records/{id}"), json!({"comment": ""})).await, 204);
    assert_eq!(sim.cloudflare.records("example.com")[0]["comment"], Value::Null);
    assert_eq!(sim.control(Method::DELETE, &format!("/records/{id}"), json!({})).await, 204);
    assert_eq!(sim.control(Method::DELETE, &format!("/records/{id}"), json!({})).await, 404);
    let fault = json!({"on": "record_list", "nth": 2, "effect": {"kind": "empty_body", "status": 500}});
    assert_eq!(sim.control(Method::POST, "/faults", fault).await, 201);
    assert_eq!(sim.call(Method::GET, &sim.records(), None).await.0, 200);
    assert_eq!(sim.call(Method::GET, &sim.records(), None).await.0, 500);
    assert_eq!(sim.control(Method::POST, "/zones", json!({"name": "example.net"})).await, 201);
    assert_eq!(sim.control(Method::DELETE, "/zones/example.net", json!({})).await, 204);
    let statuses: Vec<_> = sim.cloudflare.requests().iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Some(200), Some(500)], "what is done here is no call");
}

#[tokio::test]
async fn the_state_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = CloudflareConfig { state_file: Some(folder.path().join("state.json")), ..CloudflareConfig::default() };
    let sim = Sim::start(config.clone()).await;
    let made = sim.create(a("alpha")).await;
    let (endpoint, dns, account) =
        (sim.cloudflare.endpoint(), sim.cloudflare.dns_address(), sim.cloudflare.account_id());
    sim.cloudflare.shutdown().await;
    drop(sim.client);
    let again = Sim::start(config).await;
    assert_eq!(again.cloudflare.records("example.com"), [made]);
    assert_eq!((again.cloudflare.endpoint(), again.cloudflare.dns_address()), (endpoint, dns));
    assert_eq!(again.cloudflare.account_id(), account);
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    message.to_vec().unwrap()
}

fn by_udp(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(&question(name, kind), server).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn by_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let question = question(name, kind);
    stream.write_all(&u16::try_from(question.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&question).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

fn texts(message: &Message) -> Vec<String> {
    message.answers.iter().map(|it| format!("{} {}", it.ttl, it.data)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_server_answers_with_what_the_api_holds() {
    let sim = Sim::new().await;
    let server = sim.cloudflare.dns_address();
    let nothing = by_udp(server, "alpha.example.com", RecordType::A);
    assert_eq!(nothing.metadata.response_code, ResponseCode::NXDomain);
    assert!(nothing.metadata.authoritative && nothing.authorities.len() == 1);

    sim.create(json!({"name": "alpha", "type": "A", "content": "192.0.2.1", "ttl": 120})).await;
    sim.create(json!({"name": "alias", "type": "CNAME", "content": "alpha.example.com", "ttl": 60})).await;
    sim.create(json!({"name": "proxied", "type": "A", "content": "192.0.2.1", "proxied": true})).await;
    sim.create(json!({"name": "*.apps", "type": "AAAA", "content": "2001:db8::1"})).await;
    sim.create(json!({"name": "text", "type": "TXT", "content": "\"a \\\"b\\\"\" \"c\""})).await;
    for ask in [by_udp, by_tcp] {
        assert_eq!(texts(&ask(server, "ALPHA.example.com", RecordType::A)), ["120 192.0.2.1"]);
        let other = ask(server, "alpha.example.com", RecordType::AAAA);
        assert_eq!((other.metadata.response_code, other.answers.len()), (ResponseCode::NoError, 0));
        assert_eq!(texts(&ask(server, "alias.example.com", RecordType::A)), ["60 alpha.example.com.", "120 192.0.2.1"]);
        assert_eq!(texts(&ask(server, "proxied.example.com", RecordType::A)), ["300 104.16.132.229"]);
        assert_eq!(texts(&ask(server, "x.apps.example.com", RecordType::AAAA)), ["300 2001:db8::1"]);
        assert_eq!(ask(server, "apps.example.com", RecordType::A).metadata.response_code, ResponseCode::NoError);
        assert_eq!(ask(server, "example.com", RecordType::NS).answers.len(), 2);
        assert_eq!(ask(server, "example.com", RecordType::SOA).answers.len(), 1);
        assert_eq!(ask(server, "example.org", RecordType::A).metadata.response_code, ResponseCode::Refused);
    }
    let serial = |message: Message| message.answers[0].data.to_string();
    let before = serial(by_udp(server, "example.com", RecordType::SOA));
    let change = RecordChange { content: Some("192.0.2.9".to_owned()), ..RecordChange::default() };
    assert_eq!(sim.cloudflare.change_records("alpha.example.com", Some("A"), &change), 1);
    assert_eq!(texts(&by_udp(server, "alpha.example.com", RecordType::A)), ["120 192.0.2.9"]);
    assert_ne!(serial(by_udp(server, "example.com", RecordType::SOA)), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_too_long_for_a_datagram_says_so() {
    let sim = Sim::new().await;
    let server = sim.cloudflare.dns_address();
    let seeds: Vec<_> = (0..60).map(|n| RecordSeed::new("many.example.com", "A", &format!("192.0.2.{n}"))).collect();
    assert!(sim.cloudflare.put_records(&seeds));
    let short = by_udp(server, "many.example.com", RecordType::A);
    assert!(short.metadata.truncation && short.answers.len() < 60);
    assert_eq!(by_tcp(server, "many.example.com", RecordType::A).answers.len(), 60);
}
