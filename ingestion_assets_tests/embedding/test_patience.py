from ingestion_assets.embedding.patience import LONGEST, SHORTEST, SLACK, Patience


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_is_the_usual_one_until_there_is_an_expectation() -> None:
    patience = Patience(300)
    assert patience.seconds(64) == 300
    patience.answered(1, 0.01)
    assert patience.seconds(64) == SHORTEST


def test_patience_grows_with_the_work_ahead_up_to_the_usual_one() -> None:
    patience = Patience(300)
    patience.answered(1, 0.5)
    assert [patience.seconds(n) for n in (41, 1000)] == [SLACK * 0.5 * 41, 300]


def test_the_pace_follows_the_server() -> None:
    patience = Patience(300)
    patience.answered(10, 10)
    assert patience.pace == 1
    patience.answered(10, 20)
    assert 1 < patience.pace < 2


def test_patience_doubles_after_timeouts_up_to_a_limit() -> None:
    clock = Clock()
    patience = Patience(100, clock)
    given = []
    for clock.now in range(1, 6):
        given.append(patience.seconds(1))
        patience.timed_out(patience.stretch, clock.now)
    assert given == [100, 200, 400, LONGEST, LONGEST]


def test_an_answer_ends_the_doubling() -> None:
    patience = Patience(100)
    patience.timed_out(1, 1)
    patience.calm()
    assert patience.seconds(1) == 100


def test_a_timeout_teaches_nothing_if_others_were_answered_meanwhile() -> None:
    clock = Clock()
    patience = Patience(100, clock)
    clock.now = 50
    patience.calm()
    patience.timed_out(4, 20)
    assert patience.seconds(1) == 100


def test_timeouts_of_requests_under_way_together_are_one() -> None:
    patience = Patience(100)
    patience.timed_out(1, 1)
    patience.timed_out(1, 1)
    assert patience.seconds(1) == 200
