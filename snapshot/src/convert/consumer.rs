//! Consumers to protobuf and back.

use crate::consumer::Consumer;
use crate::name::ObjectName;
use crate::proto;

impl From<&Consumer> for proto::Consumer {
    fn from(consumer: &Consumer) -> Self {
        Self {
            namespace: consumer.name.namespace.clone(),
            name: consumer.name.name.clone(),
            groups: consumer.groups.clone(),
            suspended: consumer.is_suspended,
        }
    }
}

impl From<proto::Consumer> for Consumer {
    fn from(consumer: proto::Consumer) -> Self {
        Self {
            name: ObjectName::new(consumer.namespace, consumer.name),
            groups: consumer.groups,
            is_suspended: consumer.suspended,
        }
    }
}
