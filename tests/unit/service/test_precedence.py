"""Work waits for answers, but not for ever."""

from __future__ import annotations

import threading

import pytest

from sxdask.service.precedence import Precedence
from sxdask.service.transforms.loop import EventLoop
from tests.rest_parts import open_site

LONG = 60.0  # nothing waits for it to pass


def waiting(precedence):
    """Return a thread that is let by, and an event that says so."""
    through = threading.Event()

    def work():
        precedence.let_by()
        through.set()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, through


def test_work_goes_on_when_the_last_answer_is_given():
    precedence = Precedence(LONG)
    with precedence.answering():
        with precedence.answering():
            thread, through = waiting(precedence)
        assert not through.wait(0.05)
    thread.join(10)
    assert through.is_set()


def test_work_goes_on_while_somebody_always_asks():
    precedence = Precedence(0.001)
    with precedence.answering():
        thread, through = waiting(precedence)
        thread.join(10)
        assert through.is_set()


def test_an_answer_that_fails_is_over():
    precedence = Precedence(LONG)
    with pytest.raises(ValueError, match="no answer"), precedence.answering():
        raise ValueError("no answer")
    precedence.let_by()


def test_questions_of_clients_go_before_and_open_pages_do_not(tmp_path, monkeypatch):
    asked = []
    with open_site(tmp_path) as site:
        answering = site.parts.precedence.answering

        def noting():
            asked.append(True)
            return answering()

        monkeypatch.setattr(type(site.parts.precedence), "answering", lambda _: noting())
        site.client.get("/healthz")
        assert asked == []
        site.client.get("/servicex/transformation/unknown")
        assert asked == [True]


def test_the_engines_pool_and_turns_let_answers_by():
    precedence, turned, ran = Precedence(LONG), threading.Event(), threading.Event()
    loop = EventLoop(turned.set, lambda: None, let_by=precedence.let_by)
    with precedence.answering():
        loop.start()
        loop.run(ran.set)
        assert not ran.wait(0.1)
        assert not turned.is_set()
    assert ran.wait(10)
    assert turned.wait(10)
    loop.stop()
    loop.finish()
