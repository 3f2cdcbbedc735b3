//! Answers that need us: lists are cut to what the caller may see.

use serde_json::{Value, json};

use crate::harness::caller::Roles;
use crate::harness::client::Request;
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

fn viewer_of<'a>(app: &'a [(&'a str, &'a str)]) -> Roles<'a> {
    Roles {
        org: "member",
        apps: app,
        deploys_to: &[],
    }
}

#[test]
fn a_list_of_apps_holds_those_that_the_caller_may_read() {
    let apps = r#"[ {"id":"shop","n":1.50, "x":"\u00e4"}, {"id":"bank"}, {"name":"no id"}, {"id":"Shop"}, {"id":"shop","again":true} ]"#;
    let upstream = Upstream::start(move |_| {
        let fields = vec![
            ("Content-Type", "application/json".to_owned()),
            ("ETag", "\"all\"".to_owned()),
        ];
        Reply::Answer(200, fields, apps.as_bytes().to_vec())
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let viewer = administrator.service_user(viewer_of(&[("shop", "viewer")]));
    let answer = viewer.client.get("/orgs/acme/apps");
    assert_eq!(answer.status, 200);
    // Elements go on octet for octet: numbers and escapes are the orchestrator's.
    let expected = r#"[{"id":"shop","n":1.50, "x":"\u00e4"},{"id":"shop","again":true}]"#;
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    assert_eq!(answer.field("etag"), None);
    let nothing = administrator.with_org_role("member");
    assert_eq!(nothing.client.get("/orgs/acme/apps").ok(200), json!([]));
    let all = administrator.get("/orgs/acme/apps").ok(200);
    assert_eq!(all.as_array().map(Vec::len), Some(3), "{all}");
}

#[test]
fn a_list_of_pipelines_or_runs_holds_those_of_apps_that_the_caller_may_read() {
    let items = json!([{"id": "p1", "app_id": "shop"}, {"id": "p2", "app_id": "bank"}, {"id": "p3", "app_id": "shop"}]);
    let upstream = Upstream::answering(200, items);
    let postern = Postern::start(&upstream.url());
    let viewer = postern.administrator().service_user(viewer_of(&[("shop", "viewer")]));
    for target in ["/orgs/acme/pipelines", "/orgs/acme/pipeline-runs"] {
        let seen = viewer.client.get(target).ok(200);
        let ids: Vec<&Value> = seen
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| &item["id"])
            .collect();
        assert_eq!(ids, ["p1", "p3"], "{target}");
    }
}

#[test]
fn a_list_of_organisations_holds_the_callers_own() {
    let upstream = Upstream::answering(200, json!([{"id": "acme"}, {"id": "other"}, {"id": "acme2"}]));
    let postern = Postern::start(&upstream.url());
    for role in ["administrator", "member", "artefactContributor"] {
        let caller = postern.administrator().with_org_role(role);
        assert_eq!(caller.client.get("/orgs").ok(200), json!([{"id": "acme"}]), "{role}");
    }
}

#[test]
fn a_list_is_asked_for_whole_and_uncompressed() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let request = [
        "Accept-Encoding",
        "Range",
        "If-Range",
        "If-None-Match",
        "If-Modified-Since",
    ]
    .into_iter()
    .fold(Request::new("GET", "/orgs/acme/apps"), |request, name| {
        request.field(name, "gzip")
    });
    postern.administrator().send(request).ok(200);
    let received = upstream.only();
    assert!(!received.holds("gzip"), "{received:?}");
}

#[test]
fn a_list_that_cannot_be_read_is_not_passed_on() {
    let answers: [(&str, &[u8]); 5] = [
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
        ("gzip", b"[]"),
        ("", br#"{"items":[{"id":"bank"}]}"#),
        ("", b"[{\"id\":\"shop\"}"),
        ("", br#"["bank"]"#),
    ];
    for (coding, body) in answers {
        let upstream = Upstream::start(move |_| {
            let coding = (!coding.is_empty()).then(|| ("Content-Encoding", coding.to_owned()));
            Reply::Answer(200, Vec::from_iter(coding), body.to_vec())
        });
        let postern = Postern::start(&upstream.url());
        let answer = postern.administrator().get("/orgs/acme/apps");
        postern.assert_refused(&answer, "upstream-failed");
    }
}

#[test]
fn an_element_that_names_its_app_twice_is_not_shown_by_the_harmless_name() {
    let body = br#"[{"id":"bank","id":"shop"},{"id":"shop","id":"bank"}]"#;
    let upstream = Upstream::start(move |_| Reply::Answer(200, Vec::new(), body.to_vec()));
    let postern = Postern::start(&upstream.url());
    let viewer = postern.administrator().service_user(viewer_of(&[("shop", "viewer")]));
    let answer = viewer.client.get("/orgs/acme/apps");
    assert!(
        !String::from_utf8_lossy(&answer.body).contains("bank"),
        "{}",
        answer.shown()
    );
}

#[test]
fn an_error_in_place_of_a_list_comes_back_as_it_is() {
    let upstream = Upstream::answering(403, json!({"error": "API-403", "message": "no"}));
    let postern = Postern::start(&upstream.url());
    let answer = postern.administrator().get("/orgs/acme/apps");
    assert_eq!(answer.ok(403)["error"], "API-403");
}
