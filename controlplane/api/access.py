"""Who may call what: one literal table, deny by default. A method that is not in it is refused, and a test fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.domain.identity import Role


@dataclass(frozen=True)
class Access:
    """What a method asks of its caller: nothing, the certificate of a host, or a bearer token of one of `roles`."""

    public: bool = False
    host: bool = False
    roles: frozenset[Role] = frozenset()


PUBLIC = Access(public=True)
HOST = Access(host=True)
PLAYERS = Access(roles=frozenset({Role.PLAYER, Role.OPERATOR}))
OPERATORS = Access(roles=frozenset({Role.OPERATOR}))

ACCESS: Mapping[str, Access] = {
    "/quarterdeck.v1.AccountService/SignIn": PUBLIC,
    "/quarterdeck.v1.AccountService/CreateSignInCode": PLAYERS,
    "/quarterdeck.v1.AccountService/GetAccount": PLAYERS,
    "/quarterdeck.v1.AccountService/SignOut": PLAYERS,
    "/quarterdeck.v1.AccountService/CreateToken": OPERATORS,
    "/quarterdeck.v1.SessionService/CreateSession": PLAYERS,
    "/quarterdeck.v1.SessionService/GetSession": PLAYERS,
    "/quarterdeck.v1.SessionService/ListSessions": PLAYERS,
    "/quarterdeck.v1.SessionService/WatchSession": PLAYERS,
    "/quarterdeck.v1.SessionService/AssignSession": OPERATORS,
    "/quarterdeck.v1.SessionService/ReleaseSession": OPERATORS,
    "/quarterdeck.v1.SessionService/StopSession": PLAYERS,
    "/quarterdeck.v1.SessionService/GetSessionConfiguration": OPERATORS,
    "/quarterdeck.v1.GameService/ListGames": PLAYERS,
    "/quarterdeck.v1.GameService/GetGame": PLAYERS,
    "/quarterdeck.v1.GameService/CreateGame": OPERATORS,
    "/quarterdeck.v1.GameService/UpdateGame": OPERATORS,
    "/quarterdeck.v1.GameService/CreateDeployment": OPERATORS,
    "/quarterdeck.v1.GameService/GetDeployment": OPERATORS,
    "/quarterdeck.v1.GameService/PreviewDeployment": OPERATORS,
    "/quarterdeck.v1.ConsoleService/StreamConsole": OPERATORS,
    "/quarterdeck.v1.ConsoleService/SendConsoleInput": OPERATORS,
    "/quarterdeck.v1.ConsoleService/ExecuteAction": OPERATORS,
    "/quarterdeck.v1.SaveService/ListSaves": PLAYERS,
    "/quarterdeck.v1.SaveService/GetSave": PLAYERS,
    "/quarterdeck.v1.SaveService/ListSaveVersions": PLAYERS,
    "/quarterdeck.v1.SaveService/DeleteSave": OPERATORS,
    "/quarterdeck.v1.SaveService/DeleteSaveVersion": OPERATORS,
    "/quarterdeck.v1.SaveService/RestoreSave": OPERATORS,
    "/quarterdeck.v1.SaveService/ReleaseSave": OPERATORS,
    "/quarterdeck.v1.LogService/GetLog": OPERATORS,
    "/quarterdeck.v1.LogService/ListLogLines": OPERATORS,
    "/quarterdeck.v1.LogService/FollowLogs": OPERATORS,
    "/quarterdeck.v1.LogService/GetLogHistogram": OPERATORS,
    "/quarterdeck.v1.ShapeService/ListPresets": PLAYERS,
    "/quarterdeck.v1.ShapeService/ListRegions": PLAYERS,
    "/quarterdeck.v1.ShapeService/CreatePreset": OPERATORS,
    "/quarterdeck.v1.ShapeService/UpdatePreset": OPERATORS,
    "/quarterdeck.v1.ShapeService/DeletePreset": OPERATORS,
    "/quarterdeck.v1.ShapeService/CreateRegion": OPERATORS,
    "/quarterdeck.v1.ShapeService/UpdateRegion": OPERATORS,
    "/quarterdeck.v1.ShapeService/DeleteRegion": OPERATORS,
    "/quarterdeck.v1.ShapeService/CreateTemplate": OPERATORS,
    "/quarterdeck.v1.ShapeService/UpdateTemplate": OPERATORS,
    "/quarterdeck.v1.ShapeService/DeleteTemplate": OPERATORS,
    "/quarterdeck.v1.ShapeService/GetPreset": PLAYERS,
    "/quarterdeck.v1.ShapeService/GetRegion": PLAYERS,
    "/quarterdeck.v1.ShapeService/GetTemplate": OPERATORS,
    "/quarterdeck.v1.ShapeService/ListTemplates": OPERATORS,
    "/quarterdeck.v1.ShapeService/GetRegionCapacity": OPERATORS,
    "/quarterdeck.v1.ShapeService/ListRegionCapacities": OPERATORS,
    "/quarterdeck.v1.VmService/ListVms": OPERATORS,
    "/quarterdeck.v1.VmService/GetVm": OPERATORS,
    "/quarterdeck.v1.VmService/FindVm": OPERATORS,
    "/quarterdeck.v1.VmService/CreateVm": OPERATORS,
    "/quarterdeck.v1.VmService/CreateJoinToken": OPERATORS,
    "/quarterdeck.v1.VmService/DrainVm": OPERATORS,
    "/quarterdeck.v1.VmService/UndrainVm": OPERATORS,
    "/quarterdeck.v1.VmService/TerminateVm": OPERATORS,
    "/quarterdeck.v1.VmService/StopVm": OPERATORS,
    "/quarterdeck.v1.VmService/StartVm": OPERATORS,
    "/quarterdeck.v1.VmService/FailVm": OPERATORS,
    "/quarterdeck.v1.VmService/MarkVmReady": OPERATORS,
    "/quarterdeck.v1.VmService/ListVmTransitions": OPERATORS,
    "/quarterdeck.v1.VmService/ListVmAttempts": OPERATORS,
    "/quarterdeck.v1.HostService/ListHosts": OPERATORS,
    "/quarterdeck.v1.HostService/GetHost": OPERATORS,
    "/quarterdeck.v1.HostService/RevokeHost": OPERATORS,
    "/quarterdeck.v1.PortService/ListPorts": OPERATORS,
    "/quarterdeck.v1.PortService/AllocatePort": OPERATORS,
    "/quarterdeck.v1.PortService/ReleasePort": OPERATORS,
    "/quarterdeck.v1.PoolService/ListPools": OPERATORS,
    "/quarterdeck.v1.PoolService/GetPool": OPERATORS,
    "/quarterdeck.v1.PoolService/CreatePool": OPERATORS,
    "/quarterdeck.v1.PoolService/UpdatePool": OPERATORS,
    "/quarterdeck.v1.PoolService/DeletePool": OPERATORS,
    "/quarterdeck.v1.PoolService/GetBudget": OPERATORS,
    "/quarterdeck.v1.PoolService/UpdateBudget": OPERATORS,
    "/quarterdeck.v1.EventService/WatchEvents": OPERATORS,
    "/quarterdeck.v1.DeadLetterService/ListDeadLetters": OPERATORS,
    "/quarterdeck.v1.DeadLetterService/GetDeadLetter": OPERATORS,
    "/quarterdeck.v1.DeadLetterService/ReplayDeadLetter": OPERATORS,
    "/quarterdeck.v1.DeadLetterService/DeleteDeadLetter": OPERATORS,
    "/quarterdeck.v1.StreamingService/CreateStreamToken": PLAYERS,
    # The stream token, its first message, is the credential.
    "/quarterdeck.v1.StreamingService/Signal": PUBLIC,
    "/quarterdeck.compat.v1.OrchestratorService/CreateVm": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/GetVm": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/MarkVmDraining": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/TerminateVm": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/ListVmSessions": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/GetVmCapacity": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/AssignSession": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/MarkVmReady": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/HandleVmError": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/ReleaseSession": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/FindVm": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/GetRegionCapacity": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/ListRegionCapacities": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/GetMetrics": OPERATORS,
    "/quarterdeck.compat.v1.OrchestratorService/ListAvailableVms": OPERATORS,
    "/quarterdeck.compat.v1.StreamingIngestService/CreateStreamUrl": PLAYERS,
    "/quarterdeck.compat.v1.StreamingIngestService/GetStreamStatus": PLAYERS,
    "/quarterdeck.compat.v1.SessionFlowService/StartSession": PLAYERS,
    # The join token in the request is the credential.
    "/quarterdeck.v1.EnrolmentService/Enrol": PUBLIC,
    "/quarterdeck.v1.AgentLinkService/Link": HOST,
    "/quarterdeck.v1.AgentLinkService/FetchSpecs": HOST,
    "/quarterdeck.v1.AgentLinkService/StoreArchive": HOST,
    "/quarterdeck.v1.AgentLinkService/FetchArchive": HOST,
    "/quarterdeck.v1.AgentLinkService/RenewCertificate": HOST,
    "/quarterdeck.v1.AgentLinkService/AppendLog": HOST,
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/List": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": PUBLIC,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": PUBLIC,
}
