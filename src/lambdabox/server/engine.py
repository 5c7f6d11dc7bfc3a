"""What runs functions, built: the isolation driver, what is staged for it, and the executor."""

import os
from dataclasses import dataclass

from lambdabox.execution.local import ExecutionLimits, LocalExecutor
from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.process import ProcessDriver
from lambdabox.ports import BlobStore, Clock, Journal
from lambdabox.runtime.interpreters import Interpreters
from lambdabox.runtime.launch import Launcher, LaunchSettings
from lambdabox.runtime.python_packages import link_packages
from lambdabox.runtime.staging import Staging
from lambdabox.server.config import Settings
from lambdabox.server.isolation import Isolation


@dataclass(frozen=True, slots=True)
class Engine:
    driver: ProcessDriver | NamespaceDriver
    interpreters: Interpreters
    staging: Staging
    executor: LocalExecutor


def build_engine(
    settings: Settings,
    isolation: Isolation,
    blobs: BlobStore,
    journal: Journal,
    clock: Clock,
    *,
    functions_url: str,
) -> Engine:
    """`functions_url` is where functions reach the node."""
    data = settings.data_dir
    driver: ProcessDriver | NamespaceDriver
    warden = isolation.warden
    if warden is None:
        driver = ProcessDriver(data)
    else:
        driver = NamespaceDriver(
            warden.connection,
            data / "staged",
            preload=settings.preload,
            limits_cpu=settings.cpu_limit,
            can_clone=warden.clones,
        )
    staging = Staging(data / "staged", blobs)
    interpreters = Interpreters(settings.interpreters, settings.search_path, settings.home)
    packages = settings.python_packages or link_packages(data / "python-packages")
    launcher = Launcher(driver, interpreters, staging, LaunchSettings(functions_url, packages))
    executor = LocalExecutor(
        driver,
        launcher,
        staging,
        journal,
        clock,
        root=data / "environments",
        limits=ExecutionLimits(
            max_environments=settings.max_environments,
            concurrent_starts=settings.concurrent_starts or 2 * (os.cpu_count() or 1),
            idle_seconds=settings.idle_seconds,
            drain_seconds=settings.drain_seconds,
            freezes=settings.freeze,
        ),
    )
    return Engine(driver, interpreters, staging, executor)
