"""What the branch does: saves, submits, deletes and renames, and what capture writes down of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from erp_offline_sync.engine.model import (
    Link,
    Operation,
    Request,
)
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.engine.values import moved_fields

from .sites import (
    KINDS,
    NAMES,
    NUMBER,
    POISON,
    WORDS,
    Key,
    Rollback,
    links_of,
    relinked,
)

__all__ = ["Saves"]


class Saves:
    """Part of the World."""

    def save(self) -> None:
        doctype = self.rng.choice(list(KINDS))
        mine = self._documents(doctype)
        if not mine or self.rng.random() < 0.5:
            self.create(doctype)
        else:
            self.edit(self.rng.choice(mine))

    @contextmanager
    def business(self) -> Iterator[None]:
        """A transaction of the branch; sometimes it fails after everything was captured."""
        with self.store.transaction():
            yield
            if self.chance("rollback"):
                raise Rollback

    def create(self, doctype: str) -> None:
        kind = KINDS[doctype]
        values = self._values(doctype)
        if values is None:
            return
        if kind.named_by is None:
            name = self.count(doctype[:4].upper())
        else:
            name = self.rng.choice(NAMES)
            if (doctype, name) in self.documents.all:
                return
            if kind.named_by != "name":
                values[kind.named_by] = name
        self._insert(doctype, name, values)

    def _insert(self, doctype: str, name: str, values: dict[str, Any]) -> None:
        kind = KINDS[doctype]
        with self.business():
            submitted = kind.submittable and self.rng.random() < 0.15
            document = {
                **values,
                "name": name,
                "docstatus": 1 if submitted else 0,
                "creation": f"here {self.count('creation')}",
            }
            self.documents.put((doctype, name), document, self.new_uid())
            body = {**values, **({"name": name} if kind.named_by == "name" else {})}
            if submitted:
                body["docstatus"] = 1
            unique = {kind.named_by: name} if kind.named_by else {}
            self._capture(Operation.CREATE, (doctype, name), body, unique=unique)

    def edit(self, key: Key, *, mend: bool = False) -> None:
        document = self.documents.all[key]
        kind = KINDS[key[0]]
        if document["docstatus"] == 2:
            return
        values = self._values(key[0])
        if values is None:
            return
        if kind.named_by:
            values.pop(kind.named_by, None)
        values.pop("amended_from", None)
        if mend:
            changed = {
                name: "mended" if value in POISON else value
                for name, value in document.items()
                if name in kind.fields
            }
            if "items" in document:
                changed["items"] = [
                    {**row, "note": "mended" if row["note"] in POISON else row["note"]}
                    for row in document["items"]
                ]
        else:
            some = self.rng.sample(sorted(values), self.rng.randint(1, 2))
            changed = {name: values[name] for name in some}
            if "items" in changed:
                changed["items"] = self._changed_rows(document["items"], changed["items"])
        if document["docstatus"] == 1:
            changed = {name: value for name, value in changed.items() if name in kind.after_submit}
        self._update(key, changed, Operation.UPDATE)

    def _update(self, key: Key, values: Mapping[str, Any], operation: Operation, docstatus: int = 0) -> None:
        document = self.documents.all[key]
        kind = KINDS[key[0]]
        after = {**document, **values, "docstatus": docstatus or document["docstatus"]}
        fields = moved_fields(document, after, kind.schema)
        if "items" in values and "items" not in fields:
            names = [[row["name"] for row in each["items"]] for each in (document, after)]
            fields += ["items"] if names[0] != names[1] else []
        if not fields and operation is Operation.UPDATE:
            return
        with self.business():
            self.documents.put(key, after)
            former = tuple(
                Link(path=f"was:{link.path}", doctype=link.doctype, name=link.name)
                for link in links_of(key[0], document)
                if link.path.partition(".")[0] in fields
            )
            body, base = ({name: each.get(name) for name in fields} for each in (after, document))
            self._capture(operation, key, body, base=base, former=former)

    def submit(self) -> None:
        keys = self._documents("Sale", 0) + self._documents("Move", 0)
        if keys:
            key = self.rng.choice(keys)
            values = {"remark": self._word()} if self.rng.random() < 0.3 else {}
            self._update(key, values, Operation.SUBMIT, 1)

    def cancel(self) -> None:
        keys = [
            key
            for key in self._documents("Sale", 1) + self._documents("Move", 1)
            if not self.documents.submitted_linking(*key)
        ]
        if keys:
            self._update(self.rng.choice(keys), {}, Operation.CANCEL, 2)

    def amend(self) -> None:
        keys = self._documents("Sale", 2)
        if not keys:
            return
        key = self.rng.choice(keys)
        old = self.documents.all[key]
        values = {name: old.get(name) for name in ("remark", "total", "customer")}
        values["amended_from"] = key[1]
        values["items"] = [{**row, "name": self.count("row")} for row in old["items"]]
        if values["customer"] and ("Customer", values["customer"]) not in self.documents.all:
            return
        self._insert("Sale", self.count("SALE"), values)

    def delete(self) -> None:
        keys = [
            key
            for key in sorted(self.documents.all)
            if self.documents.all[key]["docstatus"] != 1 and not self.documents.linking(*key)
        ]
        if not keys:
            return
        key = self.rng.choice(keys)
        document = self.documents.all[key]
        with self.business():
            self._capture(Operation.DELETE, key, {}, base=dict(document))
            uid, before = self.documents.uids[key], self.gone.get(key)
            self.gone[key] = uid
            self.store.undo_with(lambda: self._forget_gone(key, before))
            self.documents.put(key, None)

    def _forget_gone(self, key: Key, before: int | None) -> None:
        self.gone.pop(key, None)
        if before is not None:
            self.gone[key] = before

    def rename(self) -> None:
        keys = [key for key in sorted(self.documents.all) if KINDS[key[0]].renames]
        if not keys:
            return
        doctype, name = self.rng.choice(keys)
        new = self.rng.choice(NAMES) if KINDS[doctype].named_by else self.count("renamed")
        if (doctype, new) in self.documents.all:
            return
        self._rename(doctype, name, new)

    def merge(self) -> None:
        """One document is merged into another: it is gone, and what linked to it links to the other."""
        doctype = self.rng.choice(("Group", "Customer"))
        names = [name for _, name in self._documents(doctype)]
        if len(names) < 2:
            return
        old, new = self.rng.sample(names, 2)
        with self.business():
            uid, before = self.documents.uids[doctype, old], self.gone.get((doctype, old))
            self.gone[doctype, old] = uid
            self.store.undo_with(lambda: self._forget_gone((doctype, old), before))
            self.documents.put((doctype, old), None)
            self._relink(doctype, old, new)
            target = self.documents.uids[doctype, new]
            added = self._capture(
                Operation.RENAME,
                (doctype, old),
                {"new_name": new, "merge": True},
                former=(Link(path="new_name", doctype=doctype, name=new),),
                document=self.documents.all[doctype, new],
                uid=uid,
            )
            self.merges[added] = target
            self.store.undo_with(lambda: self.merges.pop(added, None))

    def _relink(self, doctype: str, old: str, new: str) -> None:
        for other in self.documents.linking(doctype, old):
            self.documents.put(other, relinked(other[0], self.documents.all[other], doctype, old, new))

    def _rename(self, doctype: str, name: str, new: str) -> None:
        with self.business():
            document, uid = self.documents.all[doctype, name], self.documents.uids[doctype, name]
            named_by = KINDS[doctype].named_by
            moved = {**document, "name": new, **({named_by: new} if named_by else {})}
            self.documents.put((doctype, name), None)
            self.documents.put((doctype, new), moved, uid)
            self._relink(doctype, name, new)
            self._capture(
                Operation.RENAME, (doctype, name), {"new_name": new, "merge": False}, document=moved, uid=uid
            )

    def call(self) -> None:
        with self.business():
            key = self.engine._ports.ids.new_key()
            request = Request(
                id=key,
                key=key,
                seq=0,
                operation=Operation.CALL,
                resource_type=None,
                resource_id=None,
                method="POST",
                path="/api/method/shop.count",
                body={"n": self.count("call")},
                created_at=self.store.now(),
                repeatable=self.rng.random() < 0.5,
            )
            self._add(request, None)

    def _capture(
        self,
        operation: Operation,
        key: Key,
        body: Mapping[str, Any],
        *,
        base: Mapping[str, Any] | None = None,
        former: tuple[Link, ...] = (),
        unique: Mapping[str, Any] | None = None,
        document: Mapping[str, Any] | None = None,
        uid: int | None = None,
    ) -> str:
        """What capture inserts for a save of this document as it stands now."""
        doctype, name = key
        priority = self.rng.choice((5, 5, 5, 5, 2, 8))
        new_key = self.engine._ports.ids.new_key()
        now = document or self.documents.all[key]
        request = Request(
            id=new_key,
            key=new_key,
            seq=0,
            operation=operation,
            resource_type=doctype,
            resource_id=name,
            method="PUT",
            path=document_path(doctype, name),
            body=body,
            base=base,
            links=(*links_of(doctype, now), *former),
            unique=unique or {},
            created_at=self.store.now(),
            changed_at=self.store.now(),
            priority=priority,
            rank=priority,
            order_group=KINDS[doctype].order_group if self.ordered else None,
        )
        self._add(request, uid if uid is not None else self.documents.uids[key])
        return new_key

    def _add(self, request: Request, uid: int | None) -> None:
        added = self.store.add(request)
        values = {**added.body, **({"docstatus": "!"} if added.body.get("docstatus") else {})}
        self.say(f"    {added.seq} {added.operation.value} {added.resource_id} #{uid} {values}")
        self.queued[added.id] = uid
        self.store.undo_with(lambda: self.queued.pop(added.id, None))

    def _documents(self, doctype: str, docstatus: int | None = None) -> list[Key]:
        return sorted(
            key
            for key, document in self.documents.all.items()
            if key[0] == doctype and docstatus in (None, document["docstatus"])
        )

    def _word(self) -> str:
        return self.rng.choice(list(POISON)) if self.chance("poison") else self.rng.choice(WORDS)

    def _values(self, doctype: str) -> dict[str, Any] | None:
        """Values for every field; None where something that it must link to is not there."""
        kind, rng = KINDS[doctype], self.rng
        values: dict[str, Any] = {}
        for name, sort in kind.fields.items():
            values[name] = rng.choice((0, 1, 2.5, 7)) if sort is NUMBER else self._word()
        for name, target in kind.links.items():
            choices = [key[1] for key in self._documents(target) if self._may_be_linked(key)]
            if name == "amended_from" or not choices or rng.random() < 0.15:
                values[name] = ""
            else:
                values[name] = rng.choice(choices)
        if kind.row_fields:
            items = [key[1] for key in self._documents("Item")]
            values["items"] = [self._row(items) for _ in range(rng.randint(0, 3))] if items else []
        return values

    def _may_be_linked(self, key: Key) -> bool:
        return self.documents.all[key]["docstatus"] != 2

    def _row(self, items: list[str]) -> dict[str, Any]:
        rng = self.rng
        return {
            "name": self.count("row"),
            "item": rng.choice(items),
            "qty": rng.choice((1, 2, 3)),
            "note": self._word(),
        }

    def _changed_rows(self, rows: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row changed, one removed, one added, or the order turned round."""
        rng = self.rng
        changed = [dict(row) for row in rows]
        if changed and rng.random() < 0.5:
            rng.choice(changed)["qty"] = rng.choice((4, 5, 6))
        if changed and rng.random() < 0.3:
            changed.pop(rng.randrange(len(changed)))
        if new and rng.random() < 0.5:
            changed.insert(rng.randint(0, len(changed)), new[0])
        if rng.random() < 0.1:
            changed.reverse()
        return changed
