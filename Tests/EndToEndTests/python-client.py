"""The Kubernetes client for Python against a cloud: create, list, pages, watch, patch, conflict, delete, dynamic client.

Called with a kubeconfig; prints one line a promise and ends with 0 when all were kept.
"""
import sys
import threading

from kubernetes import client, config, dynamic, watch

config.load_kube_config(sys.argv[1])
core, apps, custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()
extensions, access = client.ApiextensionsV1Api(), client.AuthorizationV1Api()
NAMESPACE = "python"


def kept(promise, is_kept):
    if not is_kept:
        sys.exit(f"broken: {promise}")
    print(f"kept: {promise}")


def refused(status, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except client.ApiException as error:
        return error.status == status
    return False


kept("the server tells its version", client.VersionApi().get_code().major == "1")
core.create_namespace({"metadata": {"name": NAMESPACE}})
for number in range(5):
    core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"c{number}", labels={"even": str(number % 2 == 0)}), data={"a": "1"}))
kept("what is created is listed", len(core.list_namespaced_config_map(NAMESPACE).items) == 5)
kept("labels select", len(core.list_namespaced_config_map(NAMESPACE, label_selector="even=True").items) == 3)
kept("fields select", [m.metadata.name for m in core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=c3").items] == ["c3"])
page = core.list_namespaced_config_map(NAMESPACE, limit=2)
names = [m.metadata.name for m in page.items]
while page.metadata._continue:
    page = core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=page.metadata._continue)
    names += [m.metadata.name for m in page.items]
kept("pages make the whole list", names == ["c0", "c1", "c2", "c3", "c4"])
kept("a second create is refused", refused(409, core.create_namespaced_config_map, NAMESPACE, {"metadata": {"name": "c0"}}))
kept("what is not there is not found", refused(404, core.read_namespaced_config_map, "none", NAMESPACE))

old = core.read_namespaced_config_map("c0", NAMESPACE)
kept("a merge patch changes", core.patch_namespaced_config_map("c0", NAMESPACE, {"data": {"b": "2"}}).data == {"a": "1", "b": "2"})
old.data = {"late": "x"}
kept("a replace of an old state is refused", refused(409, core.replace_namespaced_config_map, "c0", NAMESPACE, old))
kept("a JSON patch changes", core.patch_namespaced_config_map("c0", NAMESPACE, [{"op": "remove", "path": "/data/a"}]).data == {"b": "2"})
kept("a dry run changes nothing", core.patch_namespaced_config_map("c0", NAMESPACE, {"data": {"b": "3"}}, dry_run="All").data == {"b": "3"}
     and core.read_namespaced_config_map("c0", NAMESPACE).data == {"b": "2"})

start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version


def change():
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "seen"}})
    core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"x": "y"}})
    core.delete_namespaced_config_map("seen", NAMESPACE)


writer = threading.Thread(target=change)
writer.start()
seen = []
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=60):
    seen.append((event["type"], event["object"].metadata.name))
    if len(seen) == 3:
        watcher.stop()
writer.join()
kept("a watch tells every change in order", seen == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")])

template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
apps.create_namespaced_deployment(
    NAMESPACE, {"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": template}})
apps.patch_namespaced_deployment_scale("d", NAMESPACE, {"spec": {"replicas": 3}})
kept("a Deployment is scaled", apps.read_namespaced_deployment_scale("d", NAMESPACE).spec.replicas == 3)
apps.patch_namespaced_deployment("d", NAMESPACE, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "y"}]}}}})
kept("a list is merged by its key", [c.image for c in apps.read_namespaced_deployment("d", NAMESPACE).spec.template.spec.containers] == ["y"])
kept("a Secret's data come back", core.create_namespaced_secret(
    NAMESPACE, {"metadata": {"name": "s"}, "stringData": {"k": "v"}}).data == {"k": "dg=="})
review = access.create_self_subject_access_review({"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": NAMESPACE}}})
kept("the administrator may create Pods", review.status.allowed)

schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 10}}}}}
extensions.create_custom_resource_definition({
    "metadata": {"name": "widgets.example.com"},
    "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
custom.create_namespaced_custom_object("example.com", "v1", NAMESPACE, "widgets", widget)
kept("an object of a custom kind comes back",
     custom.get_namespaced_custom_object("example.com", "v1", NAMESPACE, "widgets", "w")["spec"] == {"size": 3})
kept("its schema holds", refused(422, custom.patch_namespaced_custom_object, "example.com", "v1", NAMESPACE, "widgets", "w", {"spec": {"size": 11}}))

resources = dynamic.DynamicClient(client.ApiClient())
widgets = resources.resources.get(api_version="example.com/v1", kind="Widget")
kept("the dynamic client finds the kind", widgets.get(name="w", namespace=NAMESPACE).spec.size == 3)
applied = widgets.server_side_apply(
    namespace=NAMESPACE, name="w", body={**widget, "spec": {"size": 4}}, field_manager="python", force_conflicts=True)
kept("the dynamic client applies", applied.spec.size == 4)
pods = resources.resources.get(api_version="v1", kind="Pod")
pods.create(namespace=NAMESPACE, body={"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
kept("the dynamic client lists", "p" in [pod.metadata.name for pod in pods.get(namespace=NAMESPACE).items])
pods.delete(namespace=NAMESPACE, name="p", grace_period_seconds=0)

core.delete_namespaced_config_map("c0", NAMESPACE)
kept("what is deleted is gone", refused(404, core.read_namespaced_config_map, "c0", NAMESPACE))
core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="even=True")
kept("a collection is deleted by its labels", [m.metadata.name for m in core.list_namespaced_config_map(NAMESPACE).items] == ["c1", "c3"])
