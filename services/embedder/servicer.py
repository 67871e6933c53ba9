"""EmbedderService: RPC in, domain out."""

import datetime

import numpy as np
from vectorline.v1 import console_pb2, embedder_pb2, embedder_pb2_grpc, monitoring_pb2

from services.embedder import indexer_client
from services.embedder.buying import interactive
from services.embedder.views import health as health_view
from services.embedder.views import history, monitoring
from services.runtime import errors, identity, index_names, key_rates, key_tokens
from services.runtime.interceptors.around import Context

MOST_MATCHES = 1_000
DEFAULT_MATCHES = 10


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Embed, Search, the line's health, and what operators look at."""

    def __init__(
        self,
        embeddings: interactive.Interactive,
        indexer: indexer_client.Indexer,
        health: health_view.HealthView,
        monitor: monitoring.Monitoring,
        line: history.History,
        *,
        model: str,
        default_namespace: str,
        rate: key_rates.Rate,
        tokens: key_tokens.Tokens,
    ) -> None:
        self._embeddings = embeddings
        self._indexer = indexer
        self._health = health
        self._monitor = monitor
        self._line = line
        self._model = model
        self._default_namespace = default_namespace
        self._rate = rate
        self._tokens = tokens

    async def Embed(self, request: embedder_pb2.EmbedRequest, context: Context) -> embedder_pb2.EmbedResponse:
        """Embed texts at search priority, for the line's own services."""
        vectors, cost = await self._embeddings.embed(list(request.texts))
        embeddings = [embedder_pb2.Embedding(values=np.frombuffer(vector, "<f4").tolist()) for vector in vectors]
        return embedder_pb2.EmbedResponse(embeddings=embeddings, model=self._model, tokens=cost)

    async def Search(self, request: embedder_pb2.SearchRequest, context: Context) -> embedder_pb2.SearchResponse:
        """Find the rows nearest in meaning."""
        top_k = request.top_k if request.HasField("top_k") else DEFAULT_MATCHES
        violations = []
        cost, too_long = await self._embeddings.measure(request.text)
        if not request.text.strip():
            violations.append(errors.FieldViolation("text", "Say what to search for."))
        elif too_long:
            violations.append(errors.FieldViolation("text", too_long))
        if request.namespace and (problem := index_names.problem(request.namespace)):
            violations.append(errors.FieldViolation("namespace", f"It {problem}."))
        if not 1 <= top_k <= MOST_MATCHES:
            violations.append(errors.FieldViolation("top_k", f"Between 1 and {MOST_MATCHES}."))
        if violations:
            raise errors.InvalidArgument("The search is not possible as asked.", violations=tuple(violations))
        namespace = request.namespace or self._default_namespace
        identity.require(namespace=namespace)
        await key_tokens.check(self._tokens)
        await self._count_search()
        vectors, cost = await self._embeddings.embed([request.text], cost)
        if identity.current().limits.tokens_per_day:
            self._tokens.spent(identity.current().key_id, cost)
        matches = await self._indexer.query(
            vectors[0],
            namespace=namespace,
            top_k=top_k,
            metadata_filter=request.filter,
            model=self._model,
            client=identity.current().key_id,
            tokens=cost,
        )
        return embedder_pb2.SearchResponse(matches=matches)

    async def _count_search(self) -> None:
        caller = identity.current()
        per_second = caller.limits.searches_per_second
        wait = await self._rate.take(f"{caller.key_id}:search", per_second) if per_second else 0.0
        if wait:
            raise errors.ResourceExhausted(
                f"The key {caller.key_id!r} may search {per_second:g} times a second. Ask again after retry-after.",
                reason="SEARCHES_QUOTA_EXCEEDED",
                metadata={"limit": f"{per_second:g}", "unit": "searches/s"},
                retry_seconds=wait,
            )

    async def GetHealth(
        self, request: embedder_pb2.GetHealthRequest, context: Context
    ) -> embedder_pb2.GetHealthResponse:
        """The line's health as one answer; 503 over REST when it is unhealthy."""
        answer = await self._health.look()
        if answer.status == "unhealthy":
            await context.send_initial_metadata((("x-http-code", "503"),))
        answer.timestamp.FromDatetime(datetime.datetime.now(datetime.UTC))
        return answer

    async def GetDetailedHealth(
        self, request: monitoring_pb2.GetDetailedHealthRequest, context: Context
    ) -> monitoring_pb2.DetailedHealth:
        """The health with everything that it is judged by; 200 whatever it says."""
        answer = await self._monitor.health()
        answer.timestamp.FromDatetime(datetime.datetime.now(datetime.UTC))
        return answer

    async def GetWorkers(
        self, request: monitoring_pb2.GetWorkersRequest, context: Context
    ) -> monitoring_pb2.WorkersView:
        """The embedders that are alive."""
        return await self._monitor.workers()

    async def GetQueues(self, request: monitoring_pb2.GetQueuesRequest, context: Context) -> monitoring_pb2.QueuesView:
        """The queue, lane by lane."""
        return await self._monitor.queues()

    async def GetLimiter(
        self, request: monitoring_pb2.GetLimiterRequest, context: Context
    ) -> monitoring_pb2.LimiterView:
        """The limiter."""
        return await self._monitor.limiter()

    async def GetLine(self, request: console_pb2.GetLineRequest, context: Context) -> console_pb2.LineView:
        """The whole line, now and before."""
        return await self._line.view()
