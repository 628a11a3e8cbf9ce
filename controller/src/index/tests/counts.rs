//! Which counts an event touches: those of what is referred to now or no longer.

use super::*;

fn counted(index: &mut Index, event: Event) -> Vec<String> {
    let touched = index.apply(event);
    touched.counted.iter().map(ObjectKey::to_string).collect()
}

#[test]
fn a_route_touches_the_counts_of_what_it_names_now_or_no_longer() {
    let index = &mut index();
    let on = |provider: &str| route("t", "r").host("x.test").rule(&[], provider);
    let both = |one: &str, two: &str| {
        let mut touched = [format!("AIProvider {one}"), format!("AIProvider {two}")];
        touched.sort();
        touched
    };
    assert_eq!(counted(index, on("o/p").event()), ["AIProvider o/p"]);
    let moved = on("o/q").generation(2);
    assert_eq!(counted(index, moved.event()), both("o/p", "o/q"));
    let same = on("o/q").host("y.test").generation(3);
    assert!(counted(index, same.event()).is_empty());
    let gone = delete(Kind::AIRoute, "t", "r");
    assert_eq!(counted(index, gone), ["AIProvider o/q"]);
}

#[test]
fn a_tenant_touches_the_count_of_its_template_alone() {
    let index = &mut index_of([
        provider(PLATFORM, "p").event(),
        route(PLATFORM, "plan").rule(&[], "p").grant(None).event(),
    ]);
    let tenant = route("t", "main").host("x.test");
    let touched = index.apply(tenant.rules_from(PLATFORM, "plan").event());
    assert_eq!(
        told(&touched),
        ["domain/x.test", "AIRoute t/main"]
            .map(str::to_owned)
            .into()
    );
    let plan = ObjectKey::new(Kind::AIRoute, PLATFORM, "plan");
    assert_eq!(touched.counted, [plan].into());
}

#[test]
fn a_consumer_touches_the_quotas_that_select_a_group_it_joins_or_leaves() {
    let index = &mut index_of([
        quota("a", "gold").groups(&["gold"]).event(),
        quota("a", "lab").groups(&["lab"]).event(),
        quota("b", "far").groups(&["gold"]).event(),
    ]);
    let alice = |groups: &[&str]| consumer("a", "alice").groups(groups);
    assert_eq!(
        counted(index, alice(&["gold"]).event()),
        ["TokenQuota a/gold"]
    );
    let joined = alice(&["gold", "lab"]).generation(2);
    assert_eq!(counted(index, joined.event()), ["TokenQuota a/lab"]);
    let gone = delete(Kind::Consumer, "a", "alice");
    assert_eq!(
        counted(index, gone),
        ["TokenQuota a/gold", "TokenQuota a/lab"]
    );
    index.apply(delete(Kind::TokenQuota, "a", "gold"));
    assert!(counted(index, alice(&["gold"]).event()).is_empty());
}
