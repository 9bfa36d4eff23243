"""Every error the project raises.

IngestionError                      retryable = False
├── ConfigError                     a setting or sources.yaml is wrong: names it, and the remedy
├── QueryError                      a search that cannot be answered as it is put
├── RerankError                     what was found could not be put into a better order
├── SourceError(uri)                a file that is gone, unreadable or too large
│   ├── MassDeletionError           more of a source is gone than goes by accident
│   └── ExtractionError(uri)        bytes that are not the text they claim to be
│       ├── UnsupportedMediaError   binary or unknown content
│       ├── ExtractionTimeoutError  takes too long to be read
│       ├── ExtractionMemoryError   takes too much memory to be read
│       ├── ExtractionCrashError    its parser died of it
│       ├── ReaderError             its parser failed in a way that nobody foresaw
│       ├── TextTooLargeError       more text than a document may have
│       └── ArchiveError            an archive that is broken, or not read to its end
│           ├── ArchiveLimitError   too many members, too large, or too deeply nested
│           ├── UnsafeMemberError   a name that leads out of the archive, or a link
│           ├── DuplicateMemberError a name that is there twice
│           └── EncryptedMemberError needs a password
├── LocalServiceError               an embedded server does not start
├── ExportError                     a folder of collections is not read or written  retryable = True
├── OllamaError(endpoint)
│   ├── OllamaUnavailableError      refused, 5xx, runner died               retryable = True
│   │   ├── OllamaTimeoutError      no answer in time
│   │   ├── NoServerError           none until the deadline                 retryable = False
│   │   ├── RunnerUnreachableError  the server cannot reach its runner
│   │   └── RetryBudgetError        it fails too often to be worth the repetition
│   ├── OllamaBusyError             503: wait, then again                   retryable = True
│   │   └── RateLimitedError        429
│   ├── OllamaAnswerError           200 with a broken answer                retryable = True
│   │   ├── WrongDimensionsError    vectors of another length than the model's
│   │   └── MixedVectorsError       vectors that belong to other texts
│   ├── OllamaRequestError          the server rejects the request itself
│   ├── OllamaAuthError             401, 403
│   ├── ModelError(model)           missing, or cannot embed
│   │   └── ModelMismatchError      not the other servers' model
│   └── ContentError                the texts themselves cannot be embedded
│       ├── TextTooLongError        over the model's context
│       ├── PoisonTextError         the model answers NaN, or dies of it
│       └── RequestTooLargeError    a proxy's limit on bytes
├── AdoptionError                   vectors of others that are not what the model gives
└── StoreError
    ├── StoreUnavailableError       connection lost, deadlock, lock taken   retryable = True
    ├── SchemaVersionError          the database is newer than the code
    ├── DimensionError              vectors of another length than the generation's
    └── GenerationError             it cannot be what it is told to become
        └── LaggingError            not yet: a text has just come             retryable = True
"""


class IngestionError(Exception):
    """Base of all; `retryable` says whether the same call may succeed later."""

    retryable = False


class ConfigError(IngestionError):
    """A setting is missing or malformed."""


class QueryError(IngestionError):
    """A search that cannot be answered as it is put; says what to change."""


class RerankError(IngestionError):
    """What was found could not be put into a better order; it is still found."""


class SourceError(IngestionError):
    """A document cannot be read from its source."""

    def __init__(self, uri: str, message: str) -> None:
        super().__init__(f"{uri!r}: {message}")
        self.uri = uri


class MassDeletionError(SourceError):
    """So many documents are gone that it looks like an accident; nothing was deleted."""


class ExtractionError(SourceError):
    """The bytes of a document cannot be turned into text."""


class UnsupportedMediaError(ExtractionError):
    """The content is of a kind that is not read."""


class ExtractionTimeoutError(ExtractionError):
    """A document takes longer to read than it may."""


class ExtractionMemoryError(ExtractionError):
    """A document takes more memory to read than it may."""


class ExtractionCrashError(ExtractionError):
    """The process that read a document died of it."""


class ReaderError(ExtractionError):
    """A parser failed in a way that nobody foresaw: a fault of ours or of a library's."""


class TextTooLargeError(ExtractionError):
    """The text of a document is larger than it may be, and than the document itself."""


class ArchiveError(ExtractionError):
    """An archive, or a member of one, is broken or of a kind that is not read."""


class ArchiveLimitError(ArchiveError):
    """An archive has more members, more bytes or more archives inside than it may."""


class UnsafeMemberError(ArchiveError):
    """A member of an archive leads out of it by its name, or is a link."""


class DuplicateMemberError(ArchiveError):
    """Two members of an archive have one name."""


class EncryptedMemberError(ArchiveError):
    """A member of an archive cannot be read without a password."""


class AdoptionError(IngestionError):
    """Vectors of others are not those of their texts and the model; nothing was stored."""


class LocalServiceError(IngestionError):
    """An embedded server could not be started."""


class ExportError(IngestionError):
    """A folder of collections cannot be read or written; says where, and why."""

    retryable = True


class OllamaError(IngestionError):
    """An Ollama endpoint did not do what was asked."""

    def __init__(self, endpoint: str, message: str) -> None:
        super().__init__(f"Ollama at {endpoint}: {message}")
        self.endpoint = endpoint


class OllamaUnavailableError(OllamaError):
    """No answer, or an answer that says the server or its runner is down."""

    retryable = True


class OllamaTimeoutError(OllamaUnavailableError):
    """No answer in time: overload, or a runner that hangs."""


class NoServerError(OllamaUnavailableError):
    """No server was usable until the run's deadline; this run does not wait again."""

    retryable = False


class RunnerUnreachableError(OllamaUnavailableError):
    """The server answers, but cannot reach its runner, or has no memory for it."""


class RetryBudgetError(OllamaUnavailableError):
    """The server works, but fails so often that too much of the work would be repetition."""


class OllamaBusyError(OllamaError):
    """The server asks to wait (429, 503); `retry_after` in seconds if it said how long."""

    retryable = True

    def __init__(self, endpoint: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(endpoint, message)
        self.retry_after = retry_after


class RateLimitedError(OllamaBusyError):
    """429: too many requests, in the words of a proxy."""


class OllamaAnswerError(OllamaError):
    """An answer with the wrong count, dimension, or no JSON at all."""

    retryable = True


class WrongDimensionsError(OllamaAnswerError):
    """Vectors of another length than the model had when the run began."""


class MixedVectorsError(OllamaAnswerError):
    """A known text was given the vector of another one; no answer of that server can be trusted."""


class OllamaRequestError(OllamaError):
    """The request itself is wrong (options, base URL, version); repeating it cannot help."""


class OllamaAuthError(OllamaError):
    """401 or 403: the token, or the Host header, is not accepted."""


class ModelError(OllamaError):
    """The model is missing on the server, or cannot embed."""

    def __init__(self, endpoint: str, model: str, message: str) -> None:
        super().__init__(endpoint, message)
        self.model = model


class ModelMismatchError(ModelError):
    """Two servers have different models of one name; neither can be called right."""


class ContentError(OllamaError):
    """Some text of the request cannot be embedded; its neighbours can."""


class TextTooLongError(ContentError):
    """A text is longer than the model's context."""


class PoisonTextError(ContentError):
    """A text for which the model yields NaN, a dead vector, or dies."""


class RequestTooLargeError(ContentError):
    """The request is larger than a proxy in between allows (413)."""


class StoreError(IngestionError):
    """Postgres refused."""


class StoreUnavailableError(StoreError):
    """Connection lost, deadlock, or a lock held by another run."""

    retryable = True


class SchemaVersionError(StoreError):
    """The database was migrated by a newer version of this project."""


class DimensionError(StoreError):
    """Vectors of another length than the generation holds."""

    def __init__(self, table: str, want: int, got: int) -> None:
        super().__init__(f"{table} holds vectors of {want} dimensions, the model gave {got}")
        self.table, self.want, self.got = table, want, got


class IndexUnusedError(StoreError):
    """The approximate index is there, but no search would go through it."""


class GenerationError(StoreError):
    """A generation that cannot become active, or be dropped, as it is."""


class LaggingError(GenerationError):
    """A text that is found by its vector now has none in the generation yet."""

    retryable = True
