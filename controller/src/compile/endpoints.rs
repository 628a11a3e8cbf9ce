//! Endpoints of a Service's port: the ready pods that its slices name.

use turnpike_crds::ai_provider::ServiceRef;
use turnpike_crds::common;
use turnpike_snapshot::endpoints::Endpoints;
use turnpike_snapshot::name::{ObjectName, ServicePort};

use crate::compile::finding::{Issue, Subject};
use crate::index::services::Found;
use crate::index::{Index, Origin};
use crate::source::Port;

pub(crate) fn compile(index: &Index, port: &ServicePort) -> Option<Endpoints> {
    Some(Endpoints {
        addresses: index.services.endpoints(port)?,
        is_http2: index.services.is_http2(port),
    })
}

/// Finds the port of a Service that a provider in this namespace means, by the Service's own number.
///
/// Errors: what stands in its way. That nobody is ready does not.
pub(crate) fn resolve(
    index: &Index,
    namespace: &str,
    wanted: &ServiceRef,
) -> Result<ServicePort, Issue> {
    if index.origin() == Origin::Files {
        let message = "serviceRef needs a cluster; set url";
        return Err(Issue::new(
            Subject::Accepted,
            "NeedsCluster",
            "spec.serviceRef",
            message,
        ));
    }
    let service = ObjectName::new(namespace, &wanted.name);
    let fault = |reason, path, message: String| {
        Issue::new(
            Subject::ResolvedRefs,
            reason,
            format!("spec.serviceRef.{path}"),
            format!("Service {service} {message}"),
        )
    };
    let Some(found) = index.services.find(&service) else {
        let message = "does not exist; create it or correct the name".to_owned();
        return Err(fault("ServiceNotFound", "name", message));
    };
    if !found.has_selector {
        let message = "has no selector, and only pods that its selector finds are asked; give it \
                       one, or set url"
            .to_owned();
        return Err(fault("ServiceWithoutSelector", "name", message));
    }
    match find_port(&found, &wanted.port) {
        Some(port) => Ok(ServicePort {
            port: port.number,
            service,
        }),
        None => {
            let message = format!("has no TCP port {}; {}", wanted.port, offered(&found.ports));
            Err(fault("ServicePortNotFound", "port", message))
        }
    }
}

fn find_port<'a>(found: &'a Found, wanted: &common::ServicePort) -> Option<&'a Port> {
    let mut ports = found.ports.iter();
    match wanted {
        common::ServicePort::Number(number) => ports.find(|port| port.number == *number),
        common::ServicePort::Name(name) => ports.find(|port| port.name == *name),
    }
}

fn offered(ports: &[Port]) -> String {
    if ports.is_empty() {
        return "it has none".to_owned();
    }
    let ports = ports.iter().map(|port| match port.name.as_str() {
        "" => port.number.to_string(),
        name => format!("{} ({name})", port.number),
    });
    format!("it has {}", ports.collect::<Vec<_>>().join(", "))
}
