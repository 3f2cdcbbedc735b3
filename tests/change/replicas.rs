//! Several admin services of one store: a gateway follows one, tells all how far it is, and moves to another when the one
//! that it follows is lost. Here they are several ways to one process, which a gateway cannot tell from several.

use serde_json::json;

use crate::harness::eventually;
use crate::harness::link::Link;
use crate::harness::middle::{in_the_middle, losing_answers};
use crate::harness::postern::Halves;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";

#[test]
fn a_gateway_moves_to_another_admin_service_when_the_one_that_it_follows_is_lost() {
    let upstream = Upstream::answering(200, json!([]));
    let ways = [Link::cut_off(), Link::cut_off()];
    let urls = ways.each_ref().map(|way| format!("http://{}", way.address)).join(",");
    let halves = Halves::without_admin(&upstream.url(), &["--admin-url", &urls]).start_admin();
    let admin = halves.admin_address();
    ways.iter().for_each(|way| way.connect(admin));
    halves.wait_until_ready();
    for way in [0, 1, 0] {
        // Half of the time it is the one that is followed; connections are kept to both.
        ways[way].cut();
        // Until the gateway prefers the other one, a change may be answered with 502: nobody knows whether it was made. One may
        // go well before that, by a connection that it has to the other one already.
        eventually("changes", || {
            let body = json!({"name": "probe", "role": "member"});
            let change = |_| halves.administrator().post("/orgs/acme/users", body.clone()).status == 200;
            (0..5).all(change).then_some(())
        });
        let ci = halves.administrator().with_org_role("member");
        ci.client.get(ENV_TYPES).ok(200);
        halves
            .administrator()
            .delete(&format!("/users/{}/tokens/first", ci.id))
            .ok(204);
        // Its answer has waited for the feed.
        assert_eq!(ci.client.get(ENV_TYPES).status, 401);
        ways[way].connect(admin);
    }
}

#[test]
fn a_gateway_moves_on_from_an_admin_service_that_no_longer_says_anything() {
    let upstream = Upstream::answering(200, json!([]));
    let ways = [Link::cut_off(), Link::cut_off()];
    let urls = ways.each_ref().map(|way| format!("http://{}", way.address)).join(",");
    let halves = Halves::without_admin(&upstream.url(), &["--admin-url", &urls]).start_admin();
    let admin = halves.admin_address();
    ways[0].connect(admin);
    halves.wait_until_ready();
    // As when its machine is gone: nobody says that connections have ended.
    ways[0].fall_silent();
    ways[1].connect(admin);
    let left = ways[1].address.to_string();
    halves.gateway.stderr.line("the one that is left", |line| {
        (line.contains("another admin service is followed") && line.contains(&left)).then_some(())
    });
    let ci = halves.administrator().with_org_role("member");
    eventually("the token", || (ci.client.get(ENV_TYPES).status == 200).then_some(()));
}

#[test]
fn every_admin_service_hears_how_far_a_gateway_is() {
    let upstream = Upstream::answering(200, json!([]));
    let first = Link::cut_off();
    let second = Link::cut_off();
    let urls = format!("http://{},http://{}", first.address, second.address);
    let halves = Halves::without_admin(&upstream.url(), &["--admin-url", &urls]).start_admin();
    let middles = [(); 2].map(|()| in_the_middle(halves.admin_address(), |_, line| vec![line.to_owned()]));
    first.connect(middles[0].address);
    second.connect(middles[1].address);
    halves.wait_until_ready();
    halves.administrator().create_user("ci", "member");
    for middle in &middles {
        eventually("an acknowledgement of the newest revision", || {
            let received = middle.received();
            let acknowledgements = received.iter().filter(|request| request.target == "/feed/ack");
            let told =
                |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).expect("JSON")["revision"].clone();
            let newest = acknowledgements
                .filter_map(|request| told(&request.body).as_u64())
                .max();
            (newest >= Some(2)).then_some(())
        });
    }
}

#[test]
fn a_change_whose_answer_was_lost_is_not_asked_for_again() {
    let upstream = Upstream::answering(200, json!([]));
    let (first, second) = (Link::cut_off(), Link::cut_off());
    let urls = format!("http://{},http://{}", first.address, second.address);
    let halves = Halves::without_admin(&upstream.url(), &["--admin-url", &urls]).start_admin();
    let user = "/orgs/acme/users/s-00000000-0000-4000-8000-000000000000";
    let middles = [(); 2].map(|()| losing_answers(halves.admin_address(), |request| request.method == "DELETE"));
    first.connect(middles[0].address);
    second.connect(middles[1].address);
    halves.wait_until_ready();
    let answer = halves.administrator().delete(user);
    assert_refused(&answer, "upstream-failed");
    let asked: usize = middles.iter().map(|middle| middle.count("DELETE", user)).sum();
    assert_eq!(asked, 1, "nobody knows whether it was done");
}
