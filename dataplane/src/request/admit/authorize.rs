//! Whether a route lets this consumer use this model. Pure.

use std::sync::Arc;

use http::StatusCode;

use crate::request::error::{RequestError, Result};
use crate::request::matching::in_groups;
use crate::store::view::{Consumer, GrantView};

/// Checks the grants of a route: any one suffices, and none at all lets everybody through who could
/// be authenticated.
///
/// Errors: 401 for nobody in particular where a consumer is needed; 403 for a consumer that no grant
/// names, or none for this model.
pub fn authorize(allow: &[GrantView], consumer: Option<&Consumer>, model: &str) -> Result<()> {
    if allow.is_empty() {
        return Ok(());
    }
    let Some(consumer) = consumer else {
        return Err(RequestError::unauthenticated(
            "missing_api_key",
            "this route is open to certain consumers only; send an API key",
        ));
    };
    let mut own = allow
        .iter()
        .filter(|grant| names(grant, consumer))
        .peekable();
    if own.peek().is_none() {
        return Err(RequestError::new(
            StatusCode::FORBIDDEN,
            "consumer_not_allowed",
            format!("consumer {:?} may not use this route", consumer.name.name),
        ));
    }
    if own.any(|grant| grant.models.is_match(model)) {
        return Ok(());
    }
    Err(RequestError::new(
        StatusCode::FORBIDDEN,
        "model_not_allowed",
        format!("consumer {:?} may not use this model", consumer.name.name),
    )
    .param("model"))
}

fn names(grant: &GrantView, consumer: &Consumer) -> bool {
    is_selected(&grant.consumers, &grant.groups, Some(consumer))
}

/// Whether a consumer is of these names or groups; both empty: anybody.
pub(super) fn is_selected(
    names: &[Arc<str>],
    groups: &[Arc<str>],
    consumer: Option<&Consumer>,
) -> bool {
    let is_named = |consumer: &Consumer| names.iter().any(|name| **name == *consumer.name.name);
    match (names, groups) {
        ([], _) => in_groups(groups, consumer),
        (_, []) => consumer.is_some_and(is_named),
        _ => consumer.is_some_and(is_named) || in_groups(groups, consumer),
    }
}

#[cfg(test)]
mod tests {
    use turnpike_snapshot::name::ObjectName;

    use super::*;
    use crate::store::Globs;

    fn texts(list: &[&str]) -> Vec<Arc<str>> {
        list.iter().map(|text| (*text).into()).collect()
    }

    fn grant(consumers: &[&str], groups: &[&str], models: &[&str]) -> GrantView {
        GrantView {
            consumers: texts(consumers),
            groups: texts(groups),
            models: Globs::parse(models).unwrap(),
        }
    }

    fn alice() -> Consumer {
        Consumer {
            name: ObjectName::new("tenant", "alice"),
            groups: vec!["gold".into(), "staff".into()],
            is_suspended: false,
        }
    }

    fn outcome(allow: &[GrantView], consumer: Option<&Consumer>, model: &str) -> String {
        match authorize(allow, consumer, model) {
            Ok(()) => "ok".into(),
            Err(error) => error.code().into(),
        }
    }

    #[test]
    fn any_grant_of_the_consumer_for_the_model_suffices() {
        let by_name = || grant(&["alice"], &[], &[]);
        for (allow, model, expected) in [
            (vec![], "m", "ok"),
            (vec![by_name()], "m", "ok"),
            (
                vec![grant(&[], &["gold"], &["deepseek-*"])],
                "deepseek-chat",
                "ok",
            ),
            (
                vec![grant(&[], &["gold"], &["deepseek-*"])],
                "m",
                "model_not_allowed",
            ),
            (vec![grant(&["bob"], &["gold"], &[])], "m", "ok"),
            (vec![grant(&["alice"], &["iron"], &[])], "m", "ok"),
            (
                vec![grant(&["bob"], &["iron"], &[])],
                "m",
                "consumer_not_allowed",
            ),
            (
                vec![grant(&["bob"], &[], &["m"])],
                "m",
                "consumer_not_allowed",
            ),
            (vec![grant(&[], &[], &["a*"])], "m", "model_not_allowed"),
            (vec![grant(&["alice"], &[], &["a"]), by_name()], "m", "ok"),
        ] {
            assert_eq!(
                outcome(&allow, Some(&alice()), model),
                expected,
                "{allow:?}"
            );
        }
    }

    #[test]
    fn nobody_in_particular_passes_only_where_nobody_is_named() {
        assert_eq!(outcome(&[], None, "m"), "ok");
        assert_eq!(
            outcome(&[grant(&[], &[], &[])], None, "m"),
            "missing_api_key"
        );
    }
}
