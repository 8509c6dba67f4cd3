"""Deliveries in a Kafka topic: addresses, messages, producing and reading them back."""

from __future__ import annotations
