//! The guarded call as a layer of `tower`.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_layer::Layer;
use tower_service::Service;

use super::context::CallContext;
use super::error::CallError;
use super::spec::CallSpec;
use crate::tollgate::Tollgate;

/// Tells a [`CallLayer`] what the requests and the answers of a service mean. A closure from a request to its
/// [`CallSpec`] is one that reports nothing and makes each call once.
pub trait DescribeCall<Request, Response>: Send + Sync + 'static {
    /// What the call of `request` needs.
    fn spec(&self, request: &Request) -> CallSpec;

    /// Reports what `response` says: its status and headers, what was used. By default nothing, and the call then used
    /// what it reserved.
    fn report(&self, call: &CallContext, response: &Response) {
        let _ = (call, response);
    }

    /// A second copy of `request`, for another attempt; by default there is none.
    fn copy(&self, request: &Request) -> Option<Request> {
        let _ = request;
        None
    }
}

impl<Request, Response, F> DescribeCall<Request, Response> for F
where
    F: Fn(&Request) -> CallSpec + Send + Sync + 'static,
{
    fn spec(&self, request: &Request) -> CallSpec {
        self(request)
    }
}

/// Guards every call of a service. The call ends with the service's answer; what of it still streams afterwards is not
/// guarded.
///
/// The service is ready before the call waits for its turn: one that keeps a place from others once it is ready, as a
/// limit of concurrency does, keeps it meanwhile. It belongs outside of this layer, or among the limits of the call.
#[derive(Debug)]
pub struct CallLayer<D> {
    tollgate: Tollgate,
    describe: Arc<D>,
}

impl<D> CallLayer<D> {
    /// Guards calls that `describe` describes.
    pub fn new(tollgate: Tollgate, describe: D) -> Self {
        Self { tollgate, describe: Arc::new(describe) }
    }
}

impl<D> Clone for CallLayer<D> {
    fn clone(&self) -> Self {
        Self { tollgate: self.tollgate.clone(), describe: Arc::clone(&self.describe) }
    }
}

impl<S, D> Layer<S> for CallLayer<D> {
    type Service = GuardedService<S, D>;

    fn layer(&self, inner: S) -> GuardedService<S, D> {
        GuardedService { inner, layer: self.clone() }
    }
}

/// A service behind a [`CallLayer`].
#[derive(Debug)]
pub struct GuardedService<S, D> {
    inner: S,
    layer: CallLayer<D>,
}

impl<S: Clone, D> Clone for GuardedService<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<Request, S, D> Service<Request> for GuardedService<S, D>
where
    Request: Send + 'static,
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Send,
    S::Future: Send,
    D: DescribeCall<Request, S::Response>,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = BoxFuture<'static, Result<S::Response, CallError<S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(CallError::Failed)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that is ready makes the first attempt; a clone of it is not ready.
        let spare = self.inner.clone();
        let mut ready = Some(mem::replace(&mut self.inner, spare.clone()));
        let CallLayer { tollgate, describe } = self.layer.clone();
        Box::pin(async move {
            let spec = describe.spec(&request);
            let attempts_max = spec.fields().retries.attempts_max;
            let mut next = Some(request);
            let attempt = move |call: CallContext| {
                let request = next.take().expect("an attempt without a next one is the last");
                next = (call.attempt() < attempts_max).then(|| describe.copy(&request)).flatten();
                if next.is_none() {
                    call.forbid_retry();
                }
                let mut service = ready.take().unwrap_or_else(|| spare.clone());
                let describe = Arc::clone(&describe);
                async move {
                    std::future::poll_fn(|context| service.poll_ready(context)).await?;
                    let response = service.call(request).await?;
                    describe.report(&call, &response);
                    Ok(response)
                }
            };
            tollgate.call(&spec, attempt).await
        })
    }
}
