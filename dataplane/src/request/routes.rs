//! The routes of a domain as one request sees them: each with its template as it
//! stood when the request began. No I/O.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use turnpike_snapshot::domain::{
    DEFAULT_HEAD_BYTES, DEFAULT_HEARTBEAT, DEFAULT_MAX_BODY_BYTES, OnDisconnect,
};

use super::error::{RequestError, Result};
use crate::store::view::{
    AuthenticationView, DomainView, GrantView, RouteView, RuleView, RulesView, TemplateView,
};

/// Of a route whose template, which would say, cannot be had.
static KEY_NEEDED: AuthenticationView = AuthenticationView::Required;

/// A domain, with every template that its routes name.
pub struct Routes {
    domain: Arc<DomainView>,
    /// One for each route.
    templates: SmallVec<[Template; 1]>,
}

/// A template as it stood when the request began.
enum Template {
    /// The route names none.
    None,
    Lent(Arc<RulesView>),
    /// It cannot be had, for this reason.
    Faulty(Arc<str>),
}

/// One route: what it says itself, else its template.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    own: &'a RouteView,
    template: &'a Template,
}

impl Routes {
    /// Takes the templates as they are now.
    pub fn of(domain: Arc<DomainView>) -> Self {
        let templates = domain.routes.iter().map(|route| match &route.template {
            None => Template::None,
            Some(TemplateView::Faulty(reason)) => Template::Faulty(reason.clone()),
            Some(TemplateView::Rules(slot)) => match slot.load() {
                Some(rules) => Template::Lent(rules),
                // Withdrawn just now; the route itself will say why.
                None => Template::Faulty("its template is gone".into()),
            },
        });
        Self {
            templates: templates.collect(),
            domain,
        }
    }

    /// The domain.
    pub fn domain(&self) -> &DomainView {
        &self.domain
    }

    /// Walks the routes in their order.
    pub fn iter(&self) -> impl Iterator<Item = Route<'_>> {
        let pairs = self.domain.routes.iter().zip(&self.templates);
        pairs.map(|(own, template)| Route { own, template })
    }

    /// Refuses every request of a domain whose routes are all suspended, whoever calls.
    pub fn refuse_suspended(&self) -> Result<()> {
        let mut all = self.iter();
        match all.next() {
            Some(first) if all.all(|route| route.own.suspension.is_some()) => {
                first.refuse_suspended()
            }
            _ => Ok(()),
        }
    }

    /// The largest body that one of the routes takes, in bytes: what is read before the
    /// route is known.
    pub fn max_body_bytes(&self) -> u64 {
        self.iter().map(Route::max_body_bytes).max().unwrap_or(0)
    }

    /// The most that one of the routes has held of a body whose model is awaited, in bytes.
    pub fn head_bytes(&self) -> u64 {
        self.iter().map(Route::head_bytes).max().unwrap_or(0)
    }
}

impl<'a> Route<'a> {
    /// The AIRoute's name.
    pub fn name(self) -> &'a Arc<str> {
        &self.own.name
    }

    /// How callers show who they are.
    pub fn authentication(self) -> &'a AuthenticationView {
        match (&self.own.authentication, self.template) {
            (Some(own), _) => own,
            (None, Template::Lent(rules)) => &rules.authentication,
            (None, Template::None | Template::Faulty(_)) => &KEY_NEEDED,
        }
    }

    /// Who may use it: any one suffices, none at all lets every consumer in.
    ///
    /// Errors: 503 where nobody can say, since the template cannot be had.
    pub fn allow(self) -> Result<&'a [GrantView]> {
        match (&self.own.allow, self.template) {
            (Some(own), _) => Ok(own),
            (None, Template::Lent(rules)) => Ok(&rules.allow),
            (None, Template::None) => Ok(&[]),
            (None, Template::Faulty(reason)) => Err(RequestError::route_unavailable(reason)),
        }
    }

    /// Its own rules, then the template's.
    pub fn rules(self) -> impl Iterator<Item = &'a RuleView> {
        let lent = match self.template {
            Template::Lent(rules) => &rules.rules[..],
            Template::None | Template::Faulty(_) => &[],
        };
        self.own.rules.iter().chain(lent)
    }

    /// Bytes; a longer request body is refused.
    pub fn max_body_bytes(self) -> u64 {
        match (self.own.max_body_bytes, self.template) {
            (Some(own), _) => own,
            (None, Template::Lent(rules)) => rules.max_body_bytes,
            // Long enough to be told what is wrong.
            (None, Template::None | Template::Faulty(_)) => DEFAULT_MAX_BODY_BYTES,
        }
    }

    /// Bytes of a body that are held while its model is awaited; what goes on is on disk.
    pub fn head_bytes(self) -> u64 {
        let lent = self.lent().and_then(|rules| rules.head_bytes);
        self.own.head_bytes.or(lent).unwrap_or(DEFAULT_HEAD_BYTES)
    }

    /// How long a stream may be silent until its caller is sent a comment; `None`: for ever.
    pub fn heartbeat(self) -> Option<Duration> {
        let lent = self.lent().and_then(|rules| rules.heartbeat);
        let every = self.own.heartbeat.or(lent).unwrap_or(DEFAULT_HEARTBEAT);
        (!every.is_zero()).then_some(every)
    }

    /// What becomes of the answer of a caller that hangs up.
    pub fn on_disconnect(self) -> OnDisconnect {
        let lent = self.lent().and_then(|rules| rules.on_disconnect);
        self.own.on_disconnect.or(lent).unwrap_or_default()
    }

    fn lent(self) -> Option<&'a RulesView> {
        match self.template {
            Template::Lent(rules) => Some(rules),
            Template::None | Template::Faulty(_) => None,
        }
    }

    /// Refuses the requests of a suspended route.
    pub fn refuse_suspended(self) -> Result<()> {
        match &self.own.suspension {
            None => Ok(()),
            Some(message) => Err(RequestError::suspended(message)),
        }
    }

    /// Why rules of it may be missing.
    pub fn fault(self) -> Option<&'a str> {
        match self.template {
            Template::Faulty(reason) => Some(reason),
            Template::None | Template::Lent(_) => None,
        }
    }
}
