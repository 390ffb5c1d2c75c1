"""The scenario of conformance/a2a, with the official client for Python: `python conversation.py SCENARIO-AS-JSON`.

Prints one JSON line per check and ends with 1 when one failed. What is checked, and under which name, is the same in
every client; `tests/it/checks.rs` holds the list and says where a client cannot ask for something.
"""

import asyncio
import json
import sys
import traceback
import uuid

from datetime import datetime, timedelta, timezone

import httpx

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.types import a2a_pb2 as a2a
from a2a.utils import errors
from google.protobuf.json_format import MessageToDict

SCENARIO = json.loads(sys.argv[1])
MAX_EVENTS = 200
CHECK_WITHIN_S = 60
failures = 0


def report(**line):
    print(json.dumps(line), flush=True)


def same(what, got, expected):
    if got != expected:
        raise AssertionError(f'{what} is {got!r}, not {expected!r}')


def holds(what, condition):
    if not condition:
        raise AssertionError(f'{what} does not hold')


async def refused(kind, asking):
    """Expects an error of the client's own class for it."""
    try:
        await asking
    except kind:
        return kind.__name__
    except Exception as error:
        raise AssertionError(f'expected {kind.__name__}, got {error!r}') from error
    raise AssertionError(f'expected {kind.__name__}, and it was accepted')


def message(parts, task_id='', context_id='', message_id=None):
    if isinstance(parts, str):
        parts = [a2a.Part(text=parts)]
    said = a2a.Message(
        message_id=str(uuid.uuid4()) if message_id is None else message_id,
        task_id=task_id,
        context_id=context_id,
        role=a2a.ROLE_USER,
        parts=parts,
    )
    said.metadata.update({'service': SCENARIO['service']})
    return said


def state_of(task):
    return a2a.TaskState.Name(task.status.state).removeprefix('TASK_STATE_')


def texts(parts):
    return [part.text for part in parts if part.HasField('text')]


def said_by_user(task):
    return [text for one in task.history if one.role == a2a.ROLE_USER for text in texts(one.parts)]


def payload(event):
    return getattr(event, event.WhichOneof('payload'))


def word(event):
    """An event in one word, the same in every client."""
    value = payload(event)
    match event.WhichOneof('payload'):
        case 'task':
            return f'task {state_of(value)}'
        case 'status_update':
            return f'status {state_of(value)}' + (' with message' if value.status.HasField('message') else '')
        case 'artifact_update':
            return 'artifact appended' if value.append else 'artifact'
        case other:
            return other


async def collect(stream, until=lambda event: False):
    events = []
    async for event in stream:
        events.append(event)
        if until(event):
            await stream.aclose()
            break
        if len(events) > MAX_EVENTS:
            raise AssertionError('the stream does not end')
    return events


def one_task(events):
    def ids(event):
        value = payload(event)
        return (value.id if event.HasField('task') else value.task_id), value.context_id

    for event in events:
        same('the ids of an event', ids(event), ids(events[0]))
    task_id, context_id = ids(events[0])
    return {'task_id': task_id, 'context_id': context_id}


class Talk:
    """A client, or rather two: one that streams, and one that does not."""

    def __init__(self, card):
        self.card = card
        transport = [SCENARIO['transport']]
        headers = {'Authorization': f'Bearer {SCENARIO["key"]}'} if SCENARIO.get('key') else {}
        self.context = ClientCallContext(service_parameters=headers)
        self.headers = headers
        # Its own HTTP client with its own limits: what a user of the library gets who says nothing about them.
        self.streaming = ClientFactory(ClientConfig(supported_protocol_bindings=transport)).create(card)
        self.unary = ClientFactory(ClientConfig(supported_protocol_bindings=transport, streaming=False)).create(card)

    def under(self, version):
        return ClientCallContext(service_parameters={**self.headers, 'A2A-Version': version})

    async def send(self, parts, at_once=False, context=None, **to):
        request = a2a.SendMessageRequest(message=message(parts, **to))
        request.configuration.return_immediately = at_once
        async for event in self.unary.send_message(request, context=context or self.context):
            return event.task
        raise AssertionError('no answer')

    def stream(self, parts, context=None, **to):
        request = a2a.SendMessageRequest(message=message(parts, **to))
        return self.streaming.send_message(request, context=context or self.context)

    def get(self, task_id, history_length=None, context=None):
        request = a2a.GetTaskRequest(id=task_id, history_length=history_length)
        return self.unary.get_task(request, context=context or self.context)

    def cancel(self, task_id):
        return self.unary.cancel_task(a2a.CancelTaskRequest(id=task_id), context=self.context)

    def subscribe(self, task_id):
        return self.streaming.subscribe(a2a.SubscribeToTaskRequest(id=task_id), context=self.context)

    def list(self, **filters):
        return self.unary.list_tasks(a2a.ListTasksRequest(**filters), context=self.context)


class Checks:
    """What is checked; the order matters, since later checks ask about what earlier ones began."""

    def __init__(self, talk):
        self.talk = talk
        self.card = talk.card
        self.start = SCENARIO['start']
        self.answers = SCENARIO['answers']
        self.context = str(uuid.uuid4())
        self.listed = []
        self.order = []
        self.nobody = str(uuid.uuid4())

    async def check(self, name, body):
        global failures
        try:
            report(check=name, ok=True, seen=await asyncio.wait_for(body(), CHECK_WITHIN_S))
        except Exception as error:  # noqa: BLE001: the next check is wanted too
            failures += 1
            report(check=name, ok=False, why=repr(error), stack=traceback.format_exc())

    async def all(self):
        await self.check('card', self.the_card)
        await self.check('send: input required', self.send_asked)
        await self.check('send: answered', self.send_answered)
        await self.check('send: the task alone names the context', self.send_task_alone)
        await self.check('send: a message sent twice counts once', self.send_twice)
        await self.check('send: at once', self.send_at_once)
        await self.check('send: what was said survives', self.send_survives)
        await self.check('send: a context goes on', self.send_goes_on)
        await self.check('stream: input required', self.stream_asked)
        await self.check('stream: answered', self.stream_answered)
        await self.check('get', self.get)
        await self.check('get: history', self.get_history)
        await self.check('list: context', self.list_context)
        await self.check('list: pages', self.list_pages)
        await self.check('list: filters', self.list_filters)
        await self.check('list: what is shown', self.list_shown)
        await self.check('cancel', self.cancel)
        await self.check('subscribe: after a cut', self.subscribe_after_cut)
        # A stream that is sent in one piece at its end cannot be answered while it is open.
        if SCENARIO['live']:
            await self.check('subscribe: until the end', self.subscribe_to_end)
            await self.check('subscribe: a silent stream stays open', self.subscribe_silent)
        await self.check('extended card', self.extended_card)
        await self.check('error: task not found', self.error_not_found)
        await self.check('error: task not cancelable', self.error_not_cancelable)
        await self.check('error: push not supported', self.error_push)
        await self.check('error: unsupported operation', self.error_unsupported)
        await self.check('error: content type not supported', self.error_content_type)
        await self.check('error: version not supported', self.error_version)
        await self.check('error: invalid parameters', self.error_invalid)

    async def the_card(self):
        same('the name', self.card.name, SCENARIO['name'])
        holds('streaming', self.card.capabilities.streaming)
        holds('no push', not self.card.capabilities.push_notifications)
        holds('skills', self.card.skills and all(one.id and one.name and one.description for one in self.card.skills))
        interfaces = self.card.supported_interfaces
        same('the interfaces', sorted(one.protocol_binding for one in interfaces), ['HTTP+JSON', 'JSONRPC'])
        holds('version 1.0', all(one.protocol_version == '1.0' and not one.tenant for one in interfaces))

    async def send_asked(self):
        task = self.asked = await self.talk.send(self.start)
        same('the state', state_of(task), 'INPUT_REQUIRED')
        holds('ids', task.id and task.context_id)
        holds('a question', ''.join(texts(task.status.message.parts)))
        same('who asks', task.status.message.role, a2a.ROLE_AGENT)
        same('what was said', texts(task.history[0].parts), [self.start])
        holds('a timestamp', task.status.timestamp.ToDatetime() > datetime(2026, 1, 1))  # noqa: DTZ001: UTC by contract

    async def send_answered(self):
        task = self.asked
        for index, answer in enumerate(self.answers):
            same(f'the state before answer {index}', state_of(task), 'INPUT_REQUIRED')
            task = await self.talk.send(answer, task_id=task.id, context_id=task.context_id)
            same('the task', task.id, self.asked.id)
        self.ended = task
        same('the state', state_of(task), 'COMPLETED')
        holds('an artifact', task.artifacts and task.artifacts[0].artifact_id and task.artifacts[0].parts)
        same('what the user said', said_by_user(task), [self.start, *self.answers])

    async def send_task_alone(self):
        first = await self.talk.send(self.start)
        task = await self.talk.send(self.answers[0], task_id=first.id)
        same('ids', (task.id, task.context_id), (first.id, first.context_id))

    async def send_twice(self):
        message_id = str(uuid.uuid4())
        first = await self.talk.send(self.start, message_id=message_id)
        again = await self.talk.send(self.start, message_id=message_id)
        same('ids', (again.id, again.context_id), (first.id, first.context_id))
        answer = {'task_id': first.id, 'context_id': first.context_id, 'message_id': str(uuid.uuid4())}
        await self.talk.send(self.answers[0], **answer)
        await self.talk.send(self.answers[0], **answer)
        task = await self.talk.get(first.id)
        counted = [one for one in task.history if one.message_id == answer['message_id']]
        same('how often the answer is in the history', len(counted), 1)

    async def send_at_once(self):
        task = await self.talk.send(self.start, at_once=True)
        holds('a state', state_of(task) in ('SUBMITTED', 'WORKING', 'INPUT_REQUIRED'))
        events = await collect(self.talk.subscribe(task.id), lambda event: ' INPUT_REQUIRED' in word(event))
        same('the task', one_task(events)['task_id'], task.id)
        same('the first event', events[0].WhichOneof('payload'), 'task')

    async def send_survives(self):
        text = f'{self.start}\u2028\u0085 \U0001f30d "quoted" \\ \n next'
        data = {'nested': {'list': [1, 'two', None, True, 2.5]}, 'big': 9007199254740991, 'sign': 'a\u2028b\u0085c\u2029d'}
        part = a2a.Part(media_type='application/json')
        part.metadata.update({'note': 'ü'})
        part.data.struct_value.update(data)
        events = await collect(self.talk.stream([a2a.Part(text=text), part]))
        task = await self.talk.get(one_task(events)['task_id'])
        for said in (events[0].task.history[0], task.history[0]):
            same('the text', texts(said.parts), [text])
            same('the data', MessageToDict(said.parts[1])['data'], data)
            same('the metadata', MessageToDict(said.parts[1])['metadata'], {'note': 'ü'})

    async def send_goes_on(self):
        task = await self.talk.send(self.start, context_id=self.ended.context_id)
        same('the context', task.context_id, self.ended.context_id)
        holds('another task', task.id != self.ended.id)

    async def stream_asked(self):
        events = await collect(self.talk.stream(self.start))
        self.streamed = one_task(events)
        words = [word(event) for event in events]
        holds('a snapshot first', words[0].startswith('task '))
        holds('work', any(one.startswith('status WORKING') for one in words))
        same('the last event', words[-1], 'status INPUT_REQUIRED with message')
        return words

    async def stream_answered(self):
        seen = []
        for answer in self.answers:
            events = await collect(self.talk.stream(answer, **self.streamed))
            same('ids', one_task(events), self.streamed)
            holds('a snapshot first', events[0].HasField('task'))
            seen.append([word(event) for event in events])
        holds('an artifact', any(one.startswith('artifact') for one in seen[-1]))
        holds('progress', any('status WORKING with message' in words for words in seen))
        holds('completed', seen[-1][-1].startswith('status COMPLETED'))
        return seen

    async def get(self):
        task = await self.talk.get(self.ended.id)
        same('the state', state_of(task), 'COMPLETED')
        same('the task', (task.id, task.context_id), (self.ended.id, self.ended.context_id))
        same('the artifacts', list(task.artifacts), list(self.ended.artifacts))
        same('the status', task.status, self.ended.status)

    async def get_history(self):
        whole = list((await self.talk.get(self.ended.id)).history)
        holds('more than one message', len(whole) > 1)
        same('none', list((await self.talk.get(self.ended.id, 0)).history), [])
        same('the latest', list((await self.talk.get(self.ended.id, 1)).history), whole[-1:])
        same('more than there is', list((await self.talk.get(self.ended.id, 1000)).history), whole)

    async def list_context(self):
        for _ in range(3):
            self.listed.append((await self.talk.send(self.start, context_id=self.context)).id)
        page = await self.talk.list(context_id=self.context)
        # Two that changed in the same millisecond may come either way round.
        self.order = [task.id for task in page.tasks]
        same('the tasks', sorted(self.order), sorted(self.listed))
        times = [task.status.timestamp.ToNanoseconds() for task in page.tasks]
        same('the times, latest first', times, sorted(times, reverse=True))
        same('the rest', (page.next_page_token, page.total_size), ('', 3))
        holds('a page size', page.page_size > 0)
        same('no context', list((await self.talk.list(context_id=str(uuid.uuid4()))).tasks), [])

    async def list_pages(self):
        first = await self.talk.list(context_id=self.context, page_size=2)
        same('the sizes', (len(first.tasks), first.page_size, first.total_size), (2, 2, 3))
        holds('a token', first.next_page_token)
        second = await self.talk.list(context_id=self.context, page_size=2, page_token=first.next_page_token)
        same('the end', (len(second.tasks), second.next_page_token), (1, ''))
        same('each once', [task.id for task in [*first.tasks, *second.tasks]], self.order)

    async def list_filters(self):
        async def ids(**filters):
            return [task.id for task in (await self.talk.list(context_id=self.context, **filters)).tasks]

        await self.talk.cancel(self.listed[0])
        same('canceled', await ids(status=a2a.TASK_STATE_CANCELED), [self.listed[0]])
        same('open', sorted(await ids(status=a2a.TASK_STATE_INPUT_REQUIRED)), sorted(self.listed[1:]))
        future = datetime.now(timezone.utc) + timedelta(hours=1)
        same('in the future', await ids(status_timestamp_after=future), [])
        since = (await self.talk.get(self.listed[0])).status.timestamp
        same('since the latest change', await ids(status_timestamp_after=since), [self.listed[0]])

    async def list_shown(self):
        async def of(**filters):
            page = await self.talk.list(context_id=self.ended.context_id, **filters)
            return next(task for task in page.tasks if task.id == self.ended.id)

        same('no artifacts', list((await of()).artifacts), [])
        same('artifacts', list((await of(include_artifacts=True)).artifacts), list(self.ended.artifacts))
        same('no history', list((await of(history_length=0)).history), [])
        same('one message', len((await of(history_length=1)).history), 1)

    async def cancel(self):
        same('the state', state_of(await self.talk.cancel(self.listed[1])), 'CANCELED')
        same('the state later', state_of(await self.talk.get(self.listed[1])), 'CANCELED')

    async def subscribe_to_end(self):
        task = await self.talk.send(self.start)
        to = {'task_id': task.id, 'context_id': task.context_id}
        seen = []
        for answer in self.answers:
            stream = self.talk.subscribe(task.id)
            first = await anext(stream)
            same('the snapshot', word(first), 'task INPUT_REQUIRED')
            answered = asyncio.create_task(self.talk.send(answer, **to))
            rest = await collect(stream)
            await answered
            same('ids', one_task(rest), to)
            seen.append([word(event) for event in [first, *rest]])
        holds('completed', seen[-1][-1].startswith('status COMPLETED'))
        return seen

    async def subscribe_after_cut(self):
        # The connection is closed after the first event, wherever the task is then.
        cut = await collect(self.talk.stream(self.start), lambda event: True)
        to = one_task(cut)
        events = await collect(self.talk.subscribe(to['task_id']), lambda event: ' INPUT_REQUIRED' in word(event))
        same('the snapshot', (events[0].HasField('task'), one_task(events)), (True, to))
        for answer in self.answers:
            await collect(self.talk.stream(answer, **to), lambda event: True)
            try:
                stops = (' INPUT_REQUIRED', ' COMPLETED')
                events = await collect(
                    self.talk.subscribe(to['task_id']), lambda event: any(stop in word(event) for stop in stops)
                )
                same('ids', one_task(events), to)
            except errors.UnsupportedOperationError:
                # It may have ended before: then there is nothing to subscribe to.
                same('the state', state_of(await self.talk.get(to['task_id'])), 'COMPLETED')
        task = await self.talk.get(to['task_id'])
        same('the state', state_of(task), 'COMPLETED')
        same('what the user said', said_by_user(task), [self.start, *self.answers])

    async def subscribe_silent(self):
        # The client gives up where nothing comes for five seconds; the server sends signs of life more often.
        task = await self.talk.send(self.start)
        stream = self.talk.subscribe(task.id)
        await anext(stream)
        event = asyncio.ensure_future(anext(stream))
        done, _ = await asyncio.wait([event], timeout=SCENARIO['silence'])
        holds('no event and no end while nothing happens', not done)
        canceled = await self.talk.cancel(task.id)
        same('the state', state_of(canceled), 'CANCELED')
        holds('the event', word(await event).startswith('status CANCELED'))
        await stream.aclose()

    async def extended_card(self):
        # A copy of the card that promises one: without it the client would not ask.
        promised = a2a.AgentCard()
        promised.CopyFrom(self.card)
        promised.capabilities.extended_agent_card = True
        client = Talk(promised).unary
        asking = client.get_extended_agent_card(a2a.GetExtendedAgentCardRequest(), context=self.talk.context)
        if not SCENARIO['extended']:
            await refused(errors.UnsupportedOperationError, asking)
            return 'refused'
        holds('it is promised', self.card.capabilities.extended_agent_card)
        extended = await asking
        same('the name', extended.name, self.card.name)
        holds('more skills', len(extended.skills) > len(self.card.skills))
        return 'shown'

    async def error_not_found(self):
        kind = errors.TaskNotFoundError
        return [
            await refused(kind, self.talk.get(self.nobody)),
            await refused(kind, self.talk.cancel(self.nobody)),
            await refused(kind, collect(self.talk.subscribe(self.nobody))),
            await refused(kind, self.talk.send('hello', task_id=self.nobody)),
            await refused(kind, collect(self.talk.stream('hello', task_id=self.nobody))),
        ]

    async def error_not_cancelable(self):
        kind = errors.TaskNotCancelableError
        return [
            await refused(kind, self.talk.cancel(self.ended.id)),
            await refused(kind, self.talk.cancel(self.listed[1])),
        ]

    async def error_push(self):
        kind, client, context, task = errors.PushNotificationNotSupportedError, self.talk.unary, self.talk.context, self.ended.id
        config = a2a.TaskPushNotificationConfig(task_id=task, id='one', url='https://example.invalid/')
        one = a2a.GetTaskPushNotificationConfigRequest(task_id=task, id='one')
        every = a2a.ListTaskPushNotificationConfigsRequest(task_id=task)
        gone = a2a.DeleteTaskPushNotificationConfigRequest(task_id=task, id='one')
        return [
            await refused(kind, client.create_task_push_notification_config(config, context=context)),
            await refused(kind, client.get_task_push_notification_config(one, context=context)),
            await refused(kind, client.list_task_push_notification_configs(every, context=context)),
            await refused(kind, client.delete_task_push_notification_config(gone, context=context)),
        ]

    async def error_unsupported(self):
        kind, ended = errors.UnsupportedOperationError, self.ended
        return [
            await refused(kind, self.talk.send('more', task_id=ended.id, context_id=ended.context_id)),
            await refused(kind, collect(self.talk.stream('more', task_id=ended.id))),
            await refused(kind, collect(self.talk.subscribe(ended.id))),
        ]

    async def error_content_type(self):
        kind = errors.ContentTypeNotSupportedError
        picture = a2a.Part(raw=b'\x01\x02\x03', filename='x.png', media_type=SCENARIO['refused'])
        return [
            await refused(kind, self.talk.send([a2a.Part(text=self.start), picture])),
            await refused(kind, collect(self.talk.stream([picture]))),
        ]

    async def error_version(self):
        kind = errors.VersionNotSupportedError
        seen = [
            await refused(kind, self.talk.get(self.ended.id, context=self.talk.under(version)))
            for version in ('0.3', '2.0', '')
        ]
        stream = self.talk.stream(self.start, context=self.talk.under('0.3'))
        return [*seen, await refused(kind, collect(stream))]

    async def error_invalid(self):
        kind = errors.InvalidParamsError
        return [
            await refused(kind, self.talk.send([])),
            await refused(kind, self.talk.send(self.start, message_id='')),
            await refused(kind, self.talk.send('x', task_id=self.asked.id, context_id=str(uuid.uuid4()))),
            await refused(kind, self.talk.list(page_size=101)),
            await refused(kind, self.talk.list(page_token='not a token')),  # noqa: S106: a page, not a secret
            await refused(kind, self.talk.get(self.ended.id, -1)),
        ]


async def main():
    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, SCENARIO['base']).get_agent_card()
    await Checks(Talk(card)).all()
    report(check='done', ok=failures == 0)


asyncio.run(main())
sys.exit(0 if failures == 0 else 1)
