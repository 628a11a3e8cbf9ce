//! Quotas to protobuf and back.

use std::time::Duration;

use super::provider::millis;
use super::{ConvertError, non_empty, read_all};
use crate::proto;
use crate::quota::{Amount, CounterPer, Limit, OnStoreFailure, Quota, QuotaSelector};

impl From<&Quota> for proto::Quota {
    fn from(quota: &Quota) -> Self {
        let per = quota.per.iter().map(|per| match per {
            CounterPer::Consumer => proto::CounterPer::Consumer.into(),
            CounterPer::Namespace => proto::CounterPer::Namespace.into(),
        });
        Self {
            selector: Some((&quota.selector).into()),
            per: per.collect(),
            limits: quota.limits.iter().map(Into::into).collect(),
            exceeded_message: quota.exceeded_message.clone().unwrap_or_default(),
            deny_on_store_failure: quota.on_store_failure == OnStoreFailure::Deny,
        }
    }
}

impl TryFrom<proto::Quota> for Quota {
    type Error = ConvertError;

    fn try_from(quota: proto::Quota) -> Result<Self, ConvertError> {
        let per = quota
            .per
            .into_iter()
            .map(|per| match proto::CounterPer::try_from(per) {
                Ok(proto::CounterPer::Consumer) => Ok(CounterPer::Consumer),
                Ok(proto::CounterPer::Namespace) => Ok(CounterPer::Namespace),
                Ok(proto::CounterPer::Unspecified) | Err(_) => {
                    Err(ConvertError::Missing("what a quota counts per"))
                }
            });
        Ok(Self {
            selector: quota
                .selector
                .ok_or(ConvertError::Missing("selector"))?
                .into(),
            per: per.collect::<Result<_, _>>()?,
            limits: read_all(quota.limits)?,
            exceeded_message: non_empty(quota.exceeded_message),
            on_store_failure: match quota.deny_on_store_failure {
                true => OnStoreFailure::Deny,
                false => OnStoreFailure::Allow,
            },
        })
    }
}

impl From<&QuotaSelector> for proto::QuotaSelector {
    fn from(selector: &QuotaSelector) -> Self {
        Self {
            consumers: selector.consumers.clone(),
            groups: selector.groups.clone(),
            routes: selector.routes.clone(),
            models: selector.models.clone(),
        }
    }
}

impl From<proto::QuotaSelector> for QuotaSelector {
    fn from(selector: proto::QuotaSelector) -> Self {
        Self {
            consumers: selector.consumers,
            groups: selector.groups,
            routes: selector.routes,
            models: selector.models,
        }
    }
}

impl From<&Limit> for proto::Limit {
    fn from(limit: &Limit) -> Self {
        let amount = match limit.amount {
            Amount::Tokens(tokens) => proto::limit::Amount::Tokens(tokens),
            Amount::Requests(requests) => proto::limit::Amount::Requests(requests),
        };
        Self {
            name: limit.name.clone(),
            amount: Some(amount),
            window_ms: millis(limit.window),
        }
    }
}

impl TryFrom<proto::Limit> for Limit {
    type Error = ConvertError;

    fn try_from(limit: proto::Limit) -> Result<Self, ConvertError> {
        let amount = match limit
            .amount
            .ok_or(ConvertError::Missing("what a limit counts"))?
        {
            proto::limit::Amount::Tokens(tokens) => Amount::Tokens(tokens),
            proto::limit::Amount::Requests(requests) => Amount::Requests(requests),
        };
        Ok(Self {
            name: limit.name,
            amount,
            window: Duration::from_millis(limit.window_ms),
        })
    }
}
