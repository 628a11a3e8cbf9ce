//! Services and who is behind them, and what a change of either touches: the endpoints, and where
//! a Service changed itself, the providers that name it.
//!
//! A cluster has many more Services than providers name, so all of them are kept packed: about
//! 500 bytes for one with a slice of two pods, their names included.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;
use turnpike_snapshot::Name;
use turnpike_snapshot::name::{ObjectName, ServicePort};

use crate::index::{Index, Touched};
use crate::source::{Kind, ObjectKey, Port, ServiceData, SliceData};

/// The Services of every namespace.
#[derive(Default)]
pub struct Services {
    services: HashMap<ObjectName, Entry>,
    /// The Service of each slice that is not named as Kubernetes names them: `<service>-<suffix>`.
    odd: HashMap<ObjectName, Box<str>>,
    count: usize,
    slices: usize,
}

/// What is known under the name of a Service, be it there or not.
#[derive(Default)]
struct Entry {
    service: Option<Packed>,
    /// By name, in no order; nearly every Service has one.
    slices: SmallVec<[(Box<str>, Packed); 1]>,
}

/// A Service as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub has_selector: bool,
    pub ports: Vec<Port>,
}

/// One byte, ports (their number, then of each its name, number and whether HTTP/2 is spoken there),
/// addresses of equal length.
type Packed = Box<[u8]>;

impl Services {
    /// Finds a Service.
    pub fn find(&self, name: &ObjectName) -> Option<Found> {
        let packed = self.services.get(name)?.service.as_ref()?;
        let (&flag, mut bytes) = packed.split_first()?;
        Some(Found {
            has_selector: flag != 0,
            ports: take_ports(&mut bytes)?,
        })
    }

    /// Gives the ready endpoints of a Service's port, sorted; `None`: there is no such Service, it
    /// has no such port, or nobody but Kubernetes knows that its endpoints are its own.
    ///
    /// A pod of a Service with two address families is one endpoint: its IPv4 address counts.
    pub fn endpoints(&self, port: &ServicePort) -> Option<Vec<SocketAddr>> {
        let found = self.find(&port.service)?;
        let mut ports = found.ports.iter().filter(|_| found.has_selector);
        let named = &ports.find(|held| held.number == port.port)?.name;
        let slices = &self.services.get(&port.service)?.slices;
        let mut addresses: Vec<SocketAddr> = slices
            .iter()
            .flat_map(|(_, packed)| addresses(packed, named).unwrap_or_default())
            .collect();
        if addresses.iter().any(SocketAddr::is_ipv4) {
            addresses.retain(SocketAddr::is_ipv4);
        }
        addresses.sort_unstable();
        addresses.dedup();
        Some(addresses)
    }

    /// Whether HTTP/2 is spoken in the clear at a Service's port.
    pub fn is_http2(&self, port: &ServicePort) -> bool {
        let found = self.find(&port.service);
        let mut ports = found.iter().flat_map(|found| &found.ports);
        ports.any(|held| held.number == port.port && held.is_http2)
    }

    /// The number of Services held.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number of slices held.
    pub fn count_slices(&self) -> usize {
        self.slices
    }

    /// The Service that a slice is known to be of.
    fn service_of(&self, slice: &ObjectName) -> Option<String> {
        if let Some(service) = self.odd.get(slice) {
            return Some(service.to_string());
        }
        let service = usual_service(&slice.name)?;
        let entry = ObjectName::new(&slice.namespace, service);
        let mut held = self.services.get(&entry)?.slices.iter();
        held.any(|(name, _)| **name == *slice.name)
            .then(|| service.to_owned())
    }

    /// Replaces a Service; gives what it was before, if that was something else.
    fn replace(&mut self, name: &ObjectName, service: Option<Packed>) -> Option<Option<Found>> {
        let before = self.find(name);
        let (was_there, is_there) = (before.is_some(), service.is_some());
        let entry = self.services.entry(name.clone()).or_default();
        let is_same = entry.service == service;
        entry.service = service;
        self.drop_if_empty(name);
        self.count = self.count + usize::from(is_there) - usize::from(was_there);
        (!is_same).then_some(before)
    }

    /// Puts a slice in, or takes it out; gives the Services whose slices changed.
    fn replace_slice(&mut self, name: &ObjectName, slice: Option<&SliceData>) -> Vec<ObjectName> {
        let before = self.service_of(name);
        let now = slice.map(|slice| slice.service.clone());
        self.slices = self.slices + usize::from(now.is_some()) - usize::from(before.is_some());
        let mut changed = Vec::new();
        if let Some(before) = before.filter(|before| Some(before) != now.as_ref()) {
            let service = ObjectName::new(&name.namespace, before);
            if let Some(entry) = self.services.get_mut(&service) {
                entry.slices.retain(|(held, _)| **held != *name.name);
            }
            self.drop_if_empty(&service);
            self.odd.remove(name);
            changed.push(service);
        }
        if let Some(slice) = slice {
            let service = ObjectName::new(&name.namespace, &slice.service);
            if usual_service(&name.name) != Some(&slice.service) {
                self.odd.insert(name.clone(), slice.service.as_str().into());
            }
            let packed = pack_slice(slice);
            let entry = self.services.entry(service.clone()).or_default();
            let mut held = entry.slices.iter_mut();
            match held.find(|(held, _)| **held == *name.name) {
                Some((_, held)) if *held == packed => return changed,
                Some((_, held)) => *held = packed,
                None => entry.slices.push((name.name.as_str().into(), packed)),
            }
            changed.push(service);
        }
        changed
    }

    fn drop_if_empty(&mut self, name: &ObjectName) {
        let entry = self.services.get(name);
        if entry.is_some_and(|entry| entry.service.is_none() && entry.slices.is_empty()) {
            self.services.remove(name);
        }
    }
}

impl Index {
    pub(super) fn put_service(&mut self, service: &ServiceData) -> Touched {
        let packed = pack(u8::from(service.has_selector), &service.ports, &[]);
        match self.services.replace(&service.name, Some(packed)) {
            Some(before) => self.service_changed(&service.name, before.as_ref()),
            None => Touched::default(),
        }
    }

    pub(super) fn delete_service(&mut self, name: &ObjectName) -> Touched {
        match self.services.replace(name, None) {
            Some(before) => self.service_changed(name, before.as_ref()),
            None => Touched::default(),
        }
    }

    pub(super) fn put_slice(&mut self, slice: &SliceData) -> Touched {
        let changed = self.services.replace_slice(&slice.name, Some(slice));
        self.slices_changed(&changed)
    }

    pub(super) fn delete_slice(&mut self, name: &ObjectName) -> Touched {
        let changed = self.services.replace_slice(name, None);
        self.slices_changed(&changed)
    }

    fn service_changed(&self, name: &ObjectName, before: Option<&Found>) -> Touched {
        let now = self.services.find(name);
        let mut touched = Touched {
            names: endpoint_names(name, before)
                .chain(endpoint_names(name, now.as_ref()))
                .collect(),
            ..Touched::default()
        };
        let key = ObjectKey {
            kind: Kind::Service,
            name: name.clone(),
        };
        for provider in self.refs.referrers(&key) {
            touched.names.insert(Name::Provider(provider.name.clone()));
            touched.objects.insert(provider.clone());
        }
        touched
    }

    /// Whoever is ready is told by no status: pods come and go all day.
    fn slices_changed(&self, services: &[ObjectName]) -> Touched {
        let found = services.iter().map(|name| (name, self.services.find(name)));
        let names: BTreeSet<Name> = found
            .flat_map(|(name, found)| endpoint_names(name, found.as_ref()).collect::<Vec<_>>())
            .collect();
        Touched {
            names,
            ..Touched::default()
        }
    }
}

fn usual_service(slice: &str) -> Option<&str> {
    Some(slice.rsplit_once('-')?.0)
}

fn endpoint_names(service: &ObjectName, found: Option<&Found>) -> impl Iterator<Item = Name> {
    let ports = found.into_iter().flat_map(|found| &found.ports);
    ports.map(|port| {
        Name::Endpoints(ServicePort {
            service: service.clone(),
            port: port.number,
        })
    })
}

/// A slice nobody of which is ready, and one without ports, is told by its name alone.
fn pack_slice(slice: &SliceData) -> Packed {
    if slice.addresses.is_empty() || slice.ports.is_empty() {
        return Packed::default();
    }
    let length = slice.addresses.first().map_or(0, |ip| octets(*ip).len());
    let addresses = slice.addresses.iter().map(|ip| octets(*ip));
    let addresses = addresses.filter(|bytes| bytes.len() == length);
    let mut addresses: Vec<Vec<u8>> = addresses.collect();
    addresses.sort_unstable();
    pack(
        u8::try_from(length).unwrap_or_default(),
        &slice.ports,
        &addresses,
    )
}

fn pack(flag: u8, ports: &[Port], addresses: &[Vec<u8>]) -> Packed {
    let mut bytes = vec![flag];
    // An API server takes at most 100 ports of a slice, names of at most 63 bytes.
    let ports = &ports[..ports.len().min(u8::MAX.into())];
    bytes.push(ports.len() as u8);
    for port in ports {
        let name = port.name.as_bytes();
        let name = &name[..name.len().min(u8::MAX.into())];
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&port.number.to_be_bytes());
        bytes.push(u8::from(port.is_http2));
    }
    bytes.extend(addresses.iter().flatten());
    bytes.into()
}

/// Gives the addresses of a slice under its port of this name, if it has one.
fn addresses(packed: &[u8], name: &str) -> Option<Vec<SocketAddr>> {
    let (&length, mut bytes) = packed.split_first()?;
    let ports = take_ports(&mut bytes)?;
    let number = ports.iter().find(|port| port.name == name)?.number;
    let chunks = bytes.chunks_exact(usize::from(length).max(1));
    let addresses = chunks.filter_map(address);
    Some(addresses.map(|ip| SocketAddr::new(ip, number)).collect())
}

fn take_ports(bytes: &mut &[u8]) -> Option<Vec<Port>> {
    let count = *bytes.split_off_first()?;
    (0..count)
        .map(|_| {
            let length = *bytes.split_off_first()?;
            let name = bytes.split_off(..usize::from(length))?;
            let number = bytes.split_off(..2)?.try_into().ok()?;
            let is_http2 = *bytes.split_off_first()? != 0;
            Some(Port {
                name: String::from_utf8_lossy(name).into_owned(),
                number: u16::from_be_bytes(number),
                is_http2,
            })
        })
        .collect()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
