//! The builder through which every route is added, so that none lacks a declared access or a place in the document.
//!
//! Invariant: the only way in is `Routes::add`, which takes the access, writes it into the OpenAPI document
//! (`x-permission`, `security`) and puts the check before the route. Must not know: what a route does.

use crate::Web;
use crate::auth::{self, Access};
use crate::types::ErrorBody;
use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::PartialSchema as _;
use utoipa::ToSchema as _;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Info, License, OpenApi, OpenApiBuilder, Ref, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// What the paths of all things in namespaces begin with.
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";

/// The largest pipeline document that is taken.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest body of any other request.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

const SCHEME: &str = "token";

pub(crate) struct Routes {
    inner: OpenApiRouter<Web>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        let mut info = Info::new("Hostler", env!("CARGO_PKG_VERSION"));
        info.description = Some(
            "Runs pipelines, and keeps what must never be wrong: state, order, time and limits. Times are RFC 3339 in UTC \
             with milliseconds, durations are text such as `1h30m`. Lists are pages: pass `next` as `after` to go on. Every \
             error has the body `ErrorBody`."
                .into(),
        );
        info.license = Some(License::new("Apache-2.0"));
        let mut openapi = OpenApiBuilder::new().info(info).build();
        let components = openapi.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description =
            Some("A token of this host; the file `token` in its data folder holds the first one.".into());
        components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
        components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
        let mut more = Vec::new();
        ErrorBody::schemas(&mut more);
        components.schemas.extend(more);
        Self { inner: OpenApiRouter::with_openapi(openapi) }
    }

    /// Adds the routes of `utoipa_axum::routes!(…)` behind this access.
    #[must_use]
    pub(crate) fn add(self, access: Access, (schemas, mut paths, methods): UtoipaMethodRouter<Web>) -> Self {
        for item in paths.paths.values_mut() {
            operations(item).into_iter().for_each(|operation| describe(operation, access));
        }
        let methods = methods.layer(from_fn_with_state(access, auth::authorize));
        Self { inner: self.inner.routes((schemas, paths, methods)) }
    }

    pub(crate) fn finish(self) -> (Router<Web>, OpenApi) {
        self.inner.split_for_parts()
    }
}

fn operations(item: &mut PathItem) -> Vec<&mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().filter_map(Option::as_mut).collect()
}

fn describe(operation: &mut Operation, access: Access) {
    let mut extensions = Extensions::default();
    let (word, security) = match access {
        Access::Public => ("none".to_owned(), SecurityRequirement::default()),
        Access::Known => ("any token".to_owned(), SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])),
        Access::Needs(permission) => {
            (permission.to_string(), SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, []))
        }
    };
    extensions.insert("x-permission".into(), word.into());
    operation.extensions.get_or_insert_default().merge(extensions);
    operation.security = Some(vec![security]);
    let error = Content::new(Some(Ref::from_schema_name(ErrorBody::name())));
    let response = ResponseBuilder::new()
        .description(
            "What went wrong: 400 invalid, 401 unauthenticated, 403 denied, 404 not found, 409 conflict, 413 too \
                      large, 429 too much at once (nothing was done; ask again after `Retry-After`), \
             503 unavailable (`Retry-After` as well), 500 a defect.",
        )
        .content("application/json", error)
        .build();
    operation.responses.responses.insert("default".into(), response.into());
}
