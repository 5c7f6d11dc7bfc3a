"""Build CloudFormation: its front end, and what runs deployments beside it.

A part of the wiring that waits until it is needed (`optional`).
"""

from dataclasses import dataclass

from lambdabox.api.cloudformation import CloudFormationFrontEnd
from lambdabox.api.operations.change_sets import ChangeSetOperations
from lambdabox.api.operations.stacks import StackOperations
from lambdabox.api.operations.templates import TemplateOperations
from lambdabox.backends.fitted_services import FittedServices
from lambdabox.backends.sam_transform import expand
from lambdabox.ports import Cipher
from lambdabox.server.lambda_api import Core
from lambdabox.stacks.answers import AnswerBox
from lambdabox.stacks.change_sets import ChangeSets
from lambdabox.stacks.deployments import Deployments
from lambdabox.stacks.nesting import Nesting
from lambdabox.stacks.planning import Planning
from lambdabox.stacks.preparation import Preparation
from lambdabox.stacks.records import StackRecords
from lambdabox.stacks.stacks import Stacks
from lambdabox.stacks.workshop import Workshop


@dataclass(frozen=True, slots=True)
class CloudFormationParts:
    front_end: CloudFormationFrontEnd
    deployments: Deployments


def build_cloudformation(core: Core, cipher: Cipher, answers: AnswerBox) -> CloudFormationParts:
    services = FittedServices(core.aws)
    records = StackRecords(core.state, cipher)
    nesting = Nesting()
    workshop = Workshop(services, answers.open, nesting)
    deployments = Deployments(records, workshop, core.clock)
    preparation = Preparation(services, expand)
    stacks = nesting.stacks = Stacks(
        records, preparation, Planning(workshop), deployments, core.clock
    )
    change_sets = ChangeSets(stacks, records, preparation, core.clock)
    front_end = CloudFormationFrontEnd(
        {
            **StackOperations(stacks).handlers(),
            **ChangeSetOperations(change_sets, stacks).handlers(),
            **TemplateOperations(stacks, change_sets, preparation).handlers(),
        }
    )
    return CloudFormationParts(front_end, deployments)
