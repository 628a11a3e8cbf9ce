//! Messages of the stream, to and from what the store understands.

use prost::Message;
use turnpike_protocol::{PRESETS, PROTOCOLS};
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::proto::change::Change as ProtoKind;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::{
    Ack, Change as ProtoChange, ClientMessage, Held, Hello, Nack, Subscribe, Unit, Unsubscribe,
    Upsert, Welcome,
};
use turnpike_snapshot::provider::ProviderKind;
use turnpike_snapshot::{
    CLOUDS, EGRESS_PROXY, ENDPOINTS, FAILOVER, GRANTS, H2C, HALT, Name, ON_DISCONNECT,
    PROTOCOL_VERSION, PROVIDER_MANNER, PROVIDER_TLS, SUSPENSION, TEMPLATES, TLS, Version, convert,
};

use crate::store::apply::{Change, ChangeKind, Refusal};
use crate::store::book::{Outgoing, Restated};

/// What this data plane obeys besides what it speaks to providers.
const FEATURES: [&str; 13] = [
    TEMPLATES,
    GRANTS,
    SUSPENSION,
    HALT,
    ENDPOINTS,
    TLS,
    FAILOVER,
    PROVIDER_TLS,
    PROVIDER_MANNER,
    EGRESS_PROXY,
    CLOUDS,
    ON_DISCONNECT,
    H2C,
];

/// Names in one message: at about 100 bytes each, a quarter of the 4 MiB that
/// gRPC servers take by default.
pub(super) const MAX_NAMES: usize = 10_000;

/// A unit as the store takes it.
#[derive(Debug)]
pub(super) struct ReadUnit {
    pub(super) number: u64,
    pub(super) changes: Vec<Change>,
    /// What cannot even be read is refused at once.
    pub(super) unreadable: Vec<Nack>,
}

/// The first message up: who this is, and what it knows how to obey.
pub(super) fn hello(data_plane: &str) -> Hello {
    let vendors = PRESETS
        .iter()
        .map(|preset| ProviderKind::Vendor(preset.name.to_owned()));
    let protocols = PROTOCOLS.map(|protocol| ProviderKind::Protocol(protocol.as_str().to_owned()));
    Hello {
        protocol_version: PROTOCOL_VERSION,
        features: vendors
            .chain(protocols)
            .map(|kind| kind.feature())
            .chain(FEATURES.map(str::to_owned))
            .collect(),
        data_plane: data_plane.to_owned(),
    }
}

pub(super) fn fleet_keys(welcome: Welcome) -> Vec<FleetKey> {
    let keys = welcome.fleet_keys.into_iter();
    keys.map(|key| FleetKey::new(key.id, key.secret)).collect()
}

/// States what is held. Where one message does not hold it all, dependencies go
/// first: a controller that met a domain before them would send them again. All but
/// the last say that more follows.
pub(super) fn restate(restated: Restated) -> Vec<ClientMessage> {
    let Restated {
        names,
        dependencies,
    } = restated;
    let names: Vec<_> = names
        .into_iter()
        .map(|(name, version)| held(&name, version))
        .collect();
    let dependencies = dependencies.into_iter();
    let dependencies: Vec<_> = dependencies
        .map(|(name, version)| held(&name, Some(version)))
        .collect();
    if names.len() + dependencies.len() <= MAX_NAMES {
        let is_empty = names.is_empty() && dependencies.is_empty();
        let message = subscribe(names, dependencies);
        return if is_empty { Vec::new() } else { vec![message] };
    }
    let dependencies = dependencies
        .chunks(MAX_NAMES)
        .map(|part| subscribe(Vec::new(), part.into()));
    let names = names
        .chunks(MAX_NAMES)
        .map(|part| subscribe(part.into(), Vec::new()));
    let mut messages: Vec<_> = dependencies.chain(names).collect();
    if let Some((_, rest)) = messages.split_last_mut() {
        rest.iter_mut().for_each(announce_more);
    }
    messages
}

fn announce_more(message: &mut ClientMessage) {
    if let Some(Up::Subscribe(subscribe)) = &mut message.message {
        subscribe.more = true;
    }
}

pub(super) fn outgoing(outgoing: Outgoing) -> Vec<ClientMessage> {
    let Outgoing {
        unsubscribe,
        subscribe: asked,
    } = outgoing;
    let mut messages = Vec::new();
    if !unsubscribe.is_empty() {
        let names = unsubscribe.iter().map(Name::to_string).collect();
        messages.push(up(Up::Unsubscribe(Unsubscribe { names })));
    }
    if !asked.is_empty() {
        let names = asked.iter().map(|name| held(name, None)).collect();
        messages.push(subscribe(names, Vec::new()));
    }
    messages
}

/// Refusals first: an Ack says that all but what was refused is in force.
pub(super) fn answer(
    unit: u64,
    unreadable: Vec<Nack>,
    refusals: Vec<Refusal>,
) -> Vec<ClientMessage> {
    let refused = refusals.into_iter().map(|refusal| Nack {
        unit,
        name: refusal.name.to_string(),
        version: refusal.version.to_bytes(),
        message: refusal.message,
    });
    let nacks = unreadable
        .into_iter()
        .chain(refused)
        .map(|nack| up(Up::Nack(nack)));
    nacks.chain([up(Up::Ack(Ack { unit }))]).collect()
}

pub(super) fn read_unit(unit: Unit) -> ReadUnit {
    let Unit { number, changes } = unit;
    let mut read = ReadUnit {
        number,
        changes: Vec::with_capacity(changes.len()),
        unreadable: Vec::new(),
    };
    for change in changes {
        match read_change(number, change) {
            Ok(change) => read.changes.push(change),
            Err(nack) => read.unreadable.push(*nack),
        }
    }
    read
}

pub(super) fn up(message: Up) -> ClientMessage {
    ClientMessage {
        message: Some(message),
    }
}

fn read_change(unit: u64, change: ProtoChange) -> Result<Change, Box<Nack>> {
    let nack = |version: &[u8], message: &str| {
        Box::new(Nack {
            unit,
            name: change.name.clone(),
            version: version.to_vec(),
            message: message.to_owned(),
        })
    };
    let version = match &change.change {
        Some(ProtoKind::Upsert(upsert)) => upsert.version.as_slice(),
        _ => &[],
    };
    let name: Name = change
        .name
        .parse()
        .map_err(|error: turnpike_snapshot::name::NameError| nack(version, &error.to_string()))?;
    let kind = match &change.change {
        Some(ProtoKind::Upsert(upsert)) => read_upsert(&name, upsert)
            .ok_or_else(|| nack(version, "the version is not 16 bytes long"))?,
        Some(ProtoKind::Absent(_)) => ChangeKind::Absent,
        Some(ProtoKind::Drop(_)) => ChangeKind::Drop,
        None => return Err(nack(version, "a change that this data plane does not know")),
    };
    Ok(Change { name, kind })
}

fn read_upsert(name: &Name, upsert: &Upsert) -> Option<ChangeKind> {
    let content = upsert.content.clone().unwrap_or_default();
    Some(ChangeKind::Upsert {
        version: Version::from_bytes(&upsert.version)?,
        encoded_bytes: content.encoded_len(),
        snapshot: convert::read(name, content).map(Box::new),
    })
}

fn subscribe(names: Vec<Held>, dependencies: Vec<Held>) -> ClientMessage {
    up(Up::Subscribe(Subscribe {
        names,
        dependencies,
        more: false,
    }))
}

fn held(name: &Name, version: Option<Version>) -> Held {
    Held {
        name: name.to_string(),
        version: version.map(Version::to_bytes).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
