//! An explanation as people read it. Pure.

use std::fmt::Write;

use super::report::{Backend, Claim, Explanation, Quota, Refusal, Route, Rule, Standing};

/// Gives the text, with a newline at the end.
pub(super) fn of(told: &Explanation) -> String {
    let mut lines = Lines::default();
    let request = &told.request;
    let model = request.model.as_deref().unwrap_or("no model");
    lines.line(
        0,
        format!(
            "{} {}{} ({model})",
            request.method, request.host, request.path
        ),
    );
    host(told, &mut lines);
    caller(told, &mut lines);
    for route in &told.routes {
        self::route(route, &mut lines);
    }
    if let Some(authorization) = &told.authorization {
        let what = match &authorization.refusal {
            None => "allowed".to_owned(),
            Some(refusal) => format!("refused: {}", answer(refusal)),
        };
        let (route, rule) = (&authorization.route, &authorization.rule);
        lines.line(
            0,
            format!("authorization for rule {rule} of route {route}: {what}"),
        );
    }
    section(&mut lines, "backends", &told.backends, backend);
    section(&mut lines, "quotas", &told.quotas, quota);
    verdict(told, &mut lines);
    section(&mut lines, "issues", &told.issues, |issue| {
        format!(
            "{} {}: {}: {}",
            issue.reason, issue.object, issue.path, issue.message
        )
    });
    section(&mut lines, "notes", &told.notes, Clone::clone);
    lines.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        let text = text.as_ref();
        // Writing to a String never fails.
        let _ = writeln!(self.0, "{:indent$}{text}", "", indent = depth * 2);
    }
}

fn section<T>(lines: &mut Lines, title: &str, items: &[T], line: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    lines.line(0, format!("{title}:"));
    for item in items {
        lines.line(1, line(item));
    }
}

fn host(told: &Explanation, lines: &mut Lines) {
    let host = &told.host;
    let name = &told.request.host;
    match (&host.served_by, &host.namespace) {
        (Some(by), Some(namespace)) if by.eq_ignore_ascii_case(name) => {
            lines.line(0, format!("host {name}: of namespace {namespace}"));
        }
        (Some(by), Some(namespace)) => {
            lines.line(
                0,
                format!("host {name}: served by {by}, of namespace {namespace}"),
            );
        }
        _ if host.claims.is_empty() => lines.line(0, format!("host {name}: no route asks for it")),
        _ => lines.line(0, format!("host {name}: not served; no claim on it holds")),
    }
    for claim in &host.claims {
        lines.line(1, self::claim(claim));
    }
}

fn claim(claim: &Claim) -> String {
    let Claim {
        route,
        hostname,
        standing,
        message,
    } = claim;
    match (*standing, message) {
        ("Serves", _) => format!("route {route} has {hostname}"),
        ("GivesWay", _) => format!("route {route} has {hostname}, which gives way here"),
        (reason, message) => {
            let message = message.as_deref().unwrap_or_default();
            format!("route {route} does not have {hostname}: {reason}: {message}")
        }
    }
}

fn caller(told: &Explanation, lines: &mut Lines) {
    let caller = &told.caller;
    let shown = match caller.shown {
        "key" => "by its key",
        "consumer" => "as named",
        _ => "by a header",
    };
    let who = match &caller.consumer {
        Some(name) if caller.groups.is_empty() => format!("Consumer {name}, {shown}"),
        Some(name) => format!("Consumer {name} ({}), {shown}", caller.groups.join(", ")),
        None if caller.shown == "key" && told.host.namespace.is_some() => "unknown".to_owned(),
        None => "nobody in particular".to_owned(),
    };
    match &caller.refusal {
        None => lines.line(0, format!("caller: {who}")),
        Some(refusal) => lines.line(0, format!("caller: {who}; refused: {}", answer(refusal))),
    }
}

fn route(route: &Route, lines: &mut Lines) {
    let template = route.template.as_deref();
    let template = template.map_or_else(String::new, |name| format!(", then {name}"));
    lines.line(
        0,
        format!(
            "route {}{template} (key: {})",
            route.name, route.authentication
        ),
    );
    for rule in &route.rules {
        self::rule(rule, lines);
    }
    if let Some(fault) = &route.fault {
        lines.line(1, format!("its template cannot be had: {fault}"));
    }
}

fn rule(rule: &Rule, lines: &mut Lines) {
    let from = rule.from.as_deref();
    let name = from.map_or_else(|| rule.name.clone(), |from| format!("{from} {}", rule.name));
    let standing = match rule.standing {
        Standing::Matches => "matches",
        Standing::NotReached => "not reached",
        Standing::DoesNotMatch => "does not match",
    };
    match rule.unmet.as_slice() {
        [] => lines.line(1, format!("rule {name}: {standing}")),
        unmet => lines.line(
            1,
            format!("rule {name}: {standing}: {}", unmet.join("; or ")),
        ),
    }
}

fn backend(backend: &Backend) -> String {
    let Backend {
        provider,
        weight,
        priority,
        share,
        ..
    } = backend;
    let mut text = format!("{provider}: weight {weight}, {share:.1}%");
    if *priority > 0 {
        text += &format!(", priority {priority}");
    }
    if let (Some(vendor), Some(model)) = (backend.vendor, &backend.upstream_model) {
        text += &format!(", {vendor}, asked for {model}");
    }
    if let Some(service) = &backend.service {
        let (name, ready) = (&service.name, service.ready_endpoints);
        text += &format!(", Service {name} with {ready} ready");
    }
    match &backend.out {
        Some(reason) if *share > 0.0 => format!("{text}; faulty: {reason}"),
        Some(reason) => format!("{text}; out: {reason}"),
        None => text,
    }
}

fn quota(quota: &Quota) -> String {
    let limits = quota.limits.iter().map(|limit| {
        format!(
            "{} {} {} in {}",
            limit.name,
            limit.amount,
            limit.unit,
            window(limit.window_seconds)
        )
    });
    let limits = limits.collect::<Vec<_>>().join(", ");
    let per = quota.per.join(" and ");
    let text = format!("{} ({}) per {per}: {limits}", quota.name, quota.laid_by);
    match &quota.unmet {
        None => format!("charged: {text}"),
        Some(unmet) => format!("not charged: {text}; {unmet}"),
    }
}

fn window(seconds: u64) -> String {
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn verdict(told: &Explanation, lines: &mut Lines) {
    match &told.verdict.refusal {
        Some(refusal) => lines.line(0, format!("answer: {}", answer(refusal))),
        None if told.authorization.is_none() => lines.line(0, "answer: by the gateway itself"),
        None => lines.line(0, "answer: the provider's, as far as the quotas allow"),
    }
    if let Some(partly) = &told.verdict.partly {
        lines.line(1, format!("of the faulty backends: {}", answer(partly)));
    }
}

fn answer(refusal: &Refusal) -> String {
    format!("{} {}: {}", refusal.status, refusal.code, refusal.message)
}
